"""The real faas-cli on the real gateway: what docs/deploy pages have a user do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from local.openfaas.stack import read_stack
from tests.fixtures.nexus import Nexus, wait_for
from tests.openfaas.cluster import IMAGES, Cluster
from tests.openfaas.places import REPOSITORY

FUNCTIONS = sorted(read_stack(REPOSITORY / "stack.yml", {}))


def show(text: str) -> str:
    """Print what faas-cli printed, for the record of a run."""
    print(text.strip())
    return text


def test_login(cluster: Cluster) -> None:
    said = show(cluster.faas_cli("login", "--username", "admin", "--password", "wrong", check=False))
    assert "either username or password is incorrect" in said
    assert "credentials saved for admin" in show(cluster.login())


def test_list(cluster: Cluster) -> None:
    lines = show(cluster.faas_cli("list")).splitlines()
    assert sorted(line.split()[0] for line in lines[1:] if line.strip()) == FUNCTIONS


def test_describe(cluster: Cluster) -> None:
    said = show(cluster.faas_cli("describe", "ingest-single"))
    assert "Ready" in said
    assert IMAGES["ingest-single"] in said


def test_invoke(cluster: Cluster, nexus: Nexus) -> None:
    body = {
        "ep": "by-faas-cli",
        "obj_id": 3303,
        "inst_id": 0,
        "ts": time.time_ns() // 1_000_000,
        "val": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "20.5"},
    }
    cluster.faas_cli(
        *("invoke", "ingest-single", "--content-type", "application/json"),
        *("--header", f"Authorization=Bearer {nexus.token('webhook')}"),
        stdin=json.dumps(body),
    )
    assert nexus.latest("by-faas-cli", "/3303/0/5700") == "20.5"


def test_logs(cluster: Cluster) -> None:
    said = show(cluster.faas_cli("logs", "ingest-single", "--tail=false", "--lines", "5"))
    assert "listening on" in said


def test_secrets(cluster: Cluster) -> None:
    cluster.faas_cli("secret", "create", "made-here", "--from-literal", "first")
    try:
        assert "made-here" in show(cluster.faas_cli("secret", "list"))
        cluster.faas_cli("secret", "update", "made-here", "--from-literal", "second")
        assert cluster.secrets.read("made-here") == "second"
    finally:
        cluster.faas_cli("secret", "remove", "made-here")
    assert "made-here" not in cluster.faas_cli("secret", "list")


def test_a_function_that_asks_for_a_secret_that_is_not_there_is_refused(cluster: Cluster) -> None:
    said = show(
        cluster.faas_cli(
            *("deploy", "--image", IMAGES["ingest-single"], "--name", "no-secret"),
            *("--secret", "nowhere"),
            check=False,
        )
    )
    assert "nowhere" in said
    assert "no-secret" not in cluster.faas_cli("list")


@pytest.fixture
def removed(cluster: Cluster) -> Iterator[None]:
    """The function operations removed; deployed again afterwards."""
    show(cluster.faas_cli("remove", "operations"))
    yield
    cluster.faas_cli("deploy", "-f", "stack.yml", "--filter", "operations")
    cluster.await_functions()


def test_remove_and_deploy(cluster: Cluster, nexus: Nexus, removed: None) -> None:
    assert "operations" not in cluster.faas_cli("list").split()
    wait_for(lambda: not cluster.containers("operations-"), 10, "its container's end")
    assert nexus.request("GET", "/function/operations", token=nexus.token("api")).status == 404
    show(cluster.faas_cli("deploy", "-f", "stack.yml", "--filter", "operations"))
    cluster.await_functions()
    assert nexus.request("GET", "/function/operations", token=nexus.token("api")).status == 200


def test_deploying_stack_yml_again_replaces_each_function_by_a_new_container(cluster: Cluster) -> None:
    before = cluster.containers("")
    show(cluster.faas_cli("deploy", "-f", "stack.yml"))
    cluster.await_functions()
    after = cluster.containers("")
    functions = {name for name in before if name.split("-")[0] not in {"leshan", "connector"}}
    assert len(functions) == len(FUNCTIONS)
    assert not functions & set(after)
