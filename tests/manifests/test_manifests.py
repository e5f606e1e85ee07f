"""The manifests of deploy/k3s by the schemas of Kubernetes, which here allow no field that they do not name.

VERSIONS are the oldest and the newest that the project is for. `make manifests` brings the schemas.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import ValidationError, latest_version, validate

K3S = Path(__file__).resolve().parents[2] / "deploy" / "k3s"
FILES = [*sorted((K3S / "base").glob("*.yaml")), K3S / "migrate" / "job.yaml"]
OF_KUSTOMIZE = "kustomize.config.k8s.io"
OF_TRAEFIK = "traefik.io/v1alpha1"
VERSIONS = ("1.30", "1.37")

OBJECTS: dict[str, dict[str, Any]] = {
    f"{found['kind']} {found['metadata']['name']}": found
    for path in FILES
    for found in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if not found["apiVersion"].startswith((OF_KUSTOMIZE, OF_TRAEFIK))
}


def test_the_newest_version_is_the_newest_that_there_are_schemas_of() -> None:
    assert latest_version().startswith(VERSIONS[-1])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_one_of_kubernetes(name: str, version: str) -> None:
    validate(OBJECTS[name], version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "spec", "containers", 0, "image"), 5),
        (("spec", "template", "spec", "containers", 0, "livenessProb"), {}),
        (("spec", "template", "spec", "securityContext", "runAsNonroot"), True),
        (("spec",), {"replicas": 1}),
    ],
)
def test_a_mistake_would_be_found(version: str, path: tuple[str | int, ...], value: object) -> None:
    broken = copy.deepcopy(OBJECTS["StatefulSet leshan"])
    place: Any = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        validate(broken, version, strict=True)
