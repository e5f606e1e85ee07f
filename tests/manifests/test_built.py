"""deploy/k3s as the real kustomize builds it, and stack.yml as the real faas-cli turns it into objects.

Both are built from tools/go.mod, once. Without Go 1.24 or newer these tests are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate

from deploy.k3s import credentials
from local.openfaas.stack import read_stack

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).parent / "tools"
PROGRAMS = REPOSITORY / ".flownexus" / "manifests-programs"
PACKAGES = {"kustomize": "sigs.k8s.io/kustomize/kustomize/v5", "faas-cli": "github.com/openfaas/faas-cli"}
OLDEST_GO = (1, 24)
VERSIONS = ("1.30", "1.37")
K3S = REPOSITORY / "deploy" / "k3s"
STACK = read_stack(REPOSITORY / "stack.yml", {})
PROGRAM_TIMEOUT_S = 60
BUILD_TIMEOUT_S = 900
QUANTITY = re.compile(r"\d+(\.\d+)?(m|Mi|Gi)?")
LABEL = re.compile(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?")

Json = dict[str, Any]
Objects = dict[tuple[str, str, str], Json]
"""By kind, namespace and name."""


pytestmark = pytest.mark.timeout(2 * BUILD_TIMEOUT_S)


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    """Build kustomize and faas-cli; what they are built from is what go.sum says, or nothing."""
    go = shutil.which("go")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True).stdout if go else ""
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        pytest.skip(
            f"Go {'.'.join(map(str, OLDEST_GO))} or newer is not here: {said.strip() or 'there is none'}"
        )
    for program, package in PACKAGES.items():
        subprocess.run(
            [str(go), "build", "-mod=readonly", "-trimpath", "-o", str(PROGRAMS / program), package],
            cwd=TOOLS,
            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""},
            check=True,
            timeout=BUILD_TIMEOUT_S,
        )


def run(program: str, *arguments: str) -> list[Json]:
    """Run a program and return the objects that it prints."""
    done = subprocess.run(
        [PROGRAMS / program, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=PROGRAM_TIMEOUT_S,
        check=True,
    )
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def built(folder: Path) -> Objects:
    """Return what kustomize builds, by kind, namespace and name."""
    objects = run("kustomize", "build", str(folder))
    return {
        (found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]): found
        for found in objects
    }


def pods(objects: Objects) -> dict[str, Json]:
    return {
        name: found["spec"]["template"]["spec"]
        for (kind, _, name), found in objects.items()
        if kind in {"StatefulSet", "Deployment", "Job"}
    }


@pytest.fixture(scope="module")
def site(programs: None) -> Objects:
    return built(K3S)


def test_all_of_it_is_built(site: Objects) -> None:
    assert set(pods(site)) == {"postgres", "nats", "leshan", "connector", "downloads", "grafana"}
    assert set(pods(built(K3S / "migrate"))) == {"migrate"}
    assert {namespace for _, namespace, _ in site} == {"", "flownexus", "openfaas", "openfaas-fn"}
    assert "Secret" not in {kind for kind, _, _ in site}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_built_is_valid_by_the_schemas_of_kubernetes(site: Objects, version: str) -> None:
    for found in site.values():
        if not found["apiVersion"].startswith("traefik.io/"):
            validate(found, version, strict=True)


def test_the_images_get_their_registry_and_version(site: Objects) -> None:
    images = {
        container["image"]
        for spec in (*pods(site).values(), *pods(built(K3S / "migrate")).values())
        for container in spec["containers"]
    }
    assert len(images) == 7
    [version] = {image.image.rpartition(":")[2] for image in STACK.values()}
    for name in ("leshan", "connector", "downloads", "migrate"):
        assert f"localhost:5000/flownexus-{name}:{version}" in images
    assert not [image for image in images if not re.fullmatch(r"[\w.:-]+(/[\w-]+)+:\d+\.\d+[\w.-]*", image)]


def test_a_pod_finds_every_configuration_that_it_mounts(site: Objects) -> None:
    there = {name for kind, _, name in site if kind == "ConfigMap"}
    used = set()
    for spec in pods(site).values():
        for volume in spec["volumes"]:
            for source in (volume, *volume.get("projected", {}).get("sources", [])):
                if "configMap" in source:
                    used.add(source["configMap"]["name"])
    assert used == there
    for name in there:
        assert re.search(r"-[a-z0-9]{10}$", name), "a change of it would restart nobody"


def test_grafana_gets_each_dashboard_and_rule_as_it_is(site: Objects) -> None:
    content = {
        key: text
        for (kind, _, _), found in site.items()
        if kind == "ConfigMap"
        for key, text in found["data"].items()
    }
    dashboards = sorted((REPOSITORY / "deploy" / "grafana" / "dashboards").glob("*.json"))
    assert dashboards
    for path in dashboards:
        assert content[path.name] == path.read_text(encoding="utf-8")


def test_on_the_node_s_network_leshan_has_its_ports_and_no_service_stands_before_it(tmp_path: Path) -> None:
    objects = built_with("host-network", tmp_path)
    leshan = pods(objects)["leshan"]
    assert (leshan["hostNetwork"], leshan["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert ("Service", "flownexus", "leshan-devices") not in objects
    labels = objects["Namespace", "", "flownexus"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_with_a_bootstrap_server_devices_reach_it_at_a_port_of_its_own(tmp_path: Path) -> None:
    objects = built_with("bootstrap", tmp_path)
    [leshan] = pods(objects)["leshan"]["containers"]
    assert "--bootstrap-token-file=/var/openfaas/secrets/flownexus-bootstrap-token" in leshan["args"]
    assert {"name": "bootstrap", "containerPort": 5784, "protocol": "UDP"} in leshan["ports"]
    ports = objects["Service", "flownexus", "leshan-devices"]["spec"]["ports"]
    assert {"name": "bootstrap", "port": 5784, "targetPort": "bootstrap", "protocol": "UDP"} in ports
    [devices, *_] = objects["NetworkPolicy", "flownexus", "leshan"]["spec"]["ingress"]
    assert {"port": 5784, "protocol": "UDP"} in devices["ports"]


def test_with_an_object_store_those_who_read_and_write_packages_reach_it(tmp_path: Path) -> None:
    objects = built_with("object-store", tmp_path)
    [downloads] = pods(objects)["downloads"]["containers"]
    assert {"name": "firmware_store_bucket", "value": "firmware"} in downloads["env"]
    for namespace, name in (("flownexus", "object-store"), ("openfaas-fn", "flownexus-object-store")):
        [rule] = objects["NetworkPolicy", namespace, name]["spec"]["egress"]
        assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]


def test_with_an_openid_provider_the_console_reaches_it(tmp_path: Path) -> None:
    policy = built_with("openid", tmp_path)["NetworkPolicy", "openfaas-fn", "flownexus-openid"]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"faas_function": "console"}


def built_with(component: str, tmp_path: Path) -> Objects:
    """Return what a site has that uses a component; its files are beside the repository."""
    text = (K3S / "kustomization.yaml").read_text()
    text = text.replace(f"#   - {component}\n", f"components:\n  - {component}\n")
    assert "\ncomponents:" in text
    site = tmp_path / "site"
    site.mkdir()
    for name in ("base", component):
        text = text.replace(f"  - {name}\n", f"  - {os.path.relpath(K3S / name, site)}\n")
    (site / "kustomization.yaml").write_text(text)
    return built(site)


def test_faas_cli_generate_makes_a_valid_object_of_every_function() -> None:
    objects = run("faas-cli", "generate", "-f", "stack.yml")
    assert {found["metadata"]["name"] for found in objects} == set(STACK)
    for found in objects:
        spec = found["spec"]
        function = STACK[spec["name"]]
        assert (found["apiVersion"], found["kind"]) == ("openfaas.com/v1", "Function")
        assert found["metadata"]["namespace"] == "openfaas-fn"
        assert spec["image"] == function.image
        assert spec["environment"] == function.environment
        assert tuple(spec["secrets"]) == function.secrets
        for key, value in spec["labels"].items():
            assert LABEL.fullmatch(key)
            assert LABEL.fullmatch(value), f"{key}: {value} is no value of a label"
        assert spec["annotations"] == function.annotations
        for amounts in (spec["requests"], spec["limits"]):
            assert amounts["memory"]
            assert not [amount for amount in amounts.values() if amount and not QUANTITY.fullmatch(amount)]


def test_every_secret_that_a_generated_function_asks_for_is_made() -> None:
    made = {
        *credentials.TOKENS,
        *credentials.OF_CREDENTIALS,
        *credentials.OF_STORE,
        *credentials.ROLES,
        credentials.NATS_URL,
    }
    for found in run("faas-cli", "generate", "-f", "stack.yml"):
        assert set(found["spec"]["secrets"]) <= made
