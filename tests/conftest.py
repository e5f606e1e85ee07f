"""Fixtures that every test may ask for; each resource has a module of its own in tests/fixtures."""

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.relay",
    "tests.fixtures.nats",
    "tests.fixtures.served",
    "tests.fixtures.leshan",
    "tests.fixtures.world",
    "tests.fixtures.nexus",
    "tests.fixtures.s3proxy",
    "tests.fixtures.device",
    "tests.fixtures.statements",
    "tests.fixtures.hints",
    "tests.fixtures.function",
    "tests.fixtures.routes",
]
