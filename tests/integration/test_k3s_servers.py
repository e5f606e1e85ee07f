"""What deploy/k3s gives PostgreSQL and NATS, read by real ones."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.k3s import credentials
from local.servers.nats import NatsServerError, Server
from tests.fixtures.postgres import TestCluster

CONFIGURATION = Path(credentials.__file__).parent / "base" / "nats-server.conf"


def test_a_rotated_password_lets_a_role_in_and_the_old_one_does_not(postgres_cluster: TestCluster) -> None:
    role, old, new = f"role_{secrets.token_hex(4)}", "the old password", "the new: ü"
    postgres_cluster.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{old}'")
    try:
        postgres_cluster.execute(credentials.set_password(role, new))
        with psycopg.connect(postgres_cluster.cluster.dsn("postgres", role, new)) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres_cluster.cluster.dsn("postgres", role, old))
    finally:
        postgres_cluster.execute(f"DROP ROLE {role}")


class Configured(Server):
    """A server by the configuration of deploy/k3s, on a port and in a folder of its own."""

    def initialize(self) -> None:
        self.store.mkdir(parents=True, exist_ok=True)
        text = CONFIGURATION.read_text()
        for ours, here in (
            ('listen: "0.0.0.0:4222"', f'listen: "127.0.0.1:{self.port}"'),
            ('http: "0.0.0.0:8222"', 'http: "127.0.0.1:-1"'),
            ("store_dir: /data", f'store_dir: "{self.store}"'),
        ):
            assert ours in text
            text = text.replace(ours, here)
        self.configuration.write_text(text)
        login = {"basic-auth-user": "admin", "basic-auth-password": "p"}
        cluster = credentials.Cluster(
            found={"flownexus": {}, "openfaas-fn": {}, "openfaas": {"basic-auth": login}}
        )
        values = credentials.made(cluster)
        values[credentials.NATS_URL] = credentials.nats_url(self.password)
        for name, content in credentials.objects(cluster, values)["flownexus"]["nats"].items():
            (self.folder / name).write_text(content)


def test_nats_starts_by_its_configuration_with_jetstream_and_lets_in_who_has_the_url(tmp_path: Path) -> None:
    password = credentials.random_text()
    url = urlsplit(credentials.nats_url(password))
    with Configured(tmp_path / "nats", password, user=str(url.username)) as server:
        assert server.accepts()
        stranger = Server(tmp_path / "other", "wrong", port=server.port, user=server.user)
        with pytest.raises(NatsServerError, match="refuses our password"):
            stranger.accepts()
