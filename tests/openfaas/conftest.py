"""A containerd with the project's images, and the system of them; run by `make test-openfaas` alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.nexus import Nexus
from tests.openfaas.containers import Containerd
from tests.openfaas.places import ARCHIVES, CACHE, ENABLED

HERE = Path(__file__).parent
FIRST_TIMEOUT_S = 900
"""For a test that is the first, in which containerd imports all images and the system starts."""
GROUPS = (
    "prefix=sim-,count=2,notify=400ms,lifetime=300,update=300s",
    "prefix=brief-,count=1,notify=0,lifetime=6,update=2s",
    "prefix=slow-,count=1,notify=0,lifetime=300,update=300s",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs containers where they are not; give the rest the time that importing images takes."""
    skip = pytest.mark.skip(reason="needs root, containers and Go: make test-openfaas runs it")
    mark = pytest.mark.timeout(FIRST_TIMEOUT_S) if os.environ.get(ENABLED) else skip
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(mark)


@pytest.fixture(scope="session")
def containerd() -> Iterator[Containerd]:
    """A containerd that has all images."""
    with Containerd(CACHE / "containerd") as containerd:
        for archive in sorted(ARCHIVES.glob("*.tar")):
            containerd.import_image(archive)
        yield containerd


@pytest.fixture(scope="session")
def cluster(containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The system, with the functions of stack.yml deployed by faas-cli."""
    from tests.openfaas.cluster import Cluster, options

    home = tmp_path_factory.mktemp("openfaas") / "home"
    with Cluster(options(home, groups=GROUPS), containerd) as cluster:
        yield cluster


@pytest.fixture
def nexus(cluster: Any) -> Iterator[Nexus]:
    """The same system, as the acceptance tests see theirs."""
    with contextlib.closing(Nexus(cluster)) as nexus:
        yield nexus
