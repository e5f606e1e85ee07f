"""What images are built from: which there are, how they are called, what their Containerfiles promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploy.images.contexts import copy_function, images
from deploy.images.engine import Engine, EngineError
from local import REPOSITORY
from local.openfaas.stack import read_stack
from local.parts import leshan_jvm

IMAGES = images({"REGISTRY": "registry.example", "TAG": "1.2.3"})
FUNCTIONS = read_stack(REPOSITORY / "stack.yml", {})
CONTAINERFILES = sorted({image.containerfile for image in IMAGES})
SHARED = "Up to here as the functions' Dockerfile has it"


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_there_is_an_image_of_each_function_and_of_what_stands_beside_them() -> None:
    names = [image.name for image in IMAGES]
    assert sorted(names) == sorted([*FUNCTIONS, "connector", "downloads", "leshan", "migrate"])
    assert {image.reference for image in IMAGES} == {
        f"registry.example/flownexus-{name}:1.2.3" for name in names
    }


def test_without_a_choice_images_are_called_as_stack_yml_deploys_them() -> None:
    assert {f.image for f in FUNCTIONS.values()} <= {image.reference for image in images({})}


@pytest.mark.parametrize("path", CONTAINERFILES, ids=name_of)
def test_a_base_is_an_argument_and_pinned_by_its_digest(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert re.fullmatch(r"ARG BASE=docker\.io/library/[a-z-]+:\d+\.\d+[\w.-]+@sha256:[0-9a-f]{64}", lines[0])
    assert re.fullmatch(r"FROM \$\{BASE\}( AS packages)?", lines[1])


@pytest.mark.parametrize("path", CONTAINERFILES, ids=name_of)
def test_an_image_runs_as_a_user_who_is_not_root_by_number(path: Path) -> None:
    stages = re.split(r"^FROM packages AS ", path.read_text(), flags=re.MULTILINE)
    for image in stages[1:] or stages:
        assert re.findall(r"^USER (.*)$", image, re.MULTILINE) == ["10001:10001"]


def test_the_python_images_begin_alike_so_that_they_share_the_layer_of_packages() -> None:
    parts = [image for image in IMAGES if image.stage]
    assert {image.name for image in parts} == {"connector", "downloads", "migrate"}
    for image in parts:
        head, mark, stages = image.containerfile.read_text().partition(f"\n# {SHARED}")
        assert mark
        assert f"\nFROM packages AS {image.stage}\n" in stages
        template = (REPOSITORY / "template/python3-flownexus/Dockerfile").read_text()
        assert template.startswith(head.replace("FROM ${BASE} AS packages\n", "FROM ${BASE}\n"))


def test_leshan_has_the_same_java_options_as_without_a_container() -> None:
    [leshan] = [image for image in IMAGES if image.name == "leshan"]
    [options] = re.findall(r'JDK_JAVA_OPTIONS="(.*)"', leshan.containerfile.read_text())
    assert tuple(options.split()) == leshan_jvm(512)


def test_a_function_s_context_has_the_template_the_handler_and_the_library(tmp_path: Path) -> None:
    copy_function(FUNCTIONS["ingest-single"], tmp_path / "context")
    found = {str(path.relative_to(tmp_path / "context")) for path in (tmp_path / "context").rglob("*")}
    assert {"Dockerfile", "index.py", "requirements.txt", "function_server/edge.py"} <= found
    assert {"function/handler.py", "function/flownexus/settings.py"} <= found
    assert not [path for path in found if "__pycache__" in path]
    handler = REPOSITORY / "functions/ingest-single/handler.py"
    assert (tmp_path / "context/function/handler.py").read_text() == handler.read_text()


def test_without_an_engine_all_three_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"docker is not installed; podman is not.*; buildah is not"):
        Engine.find()


def test_an_engine_that_does_not_work_is_passed_over_and_its_reason_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As of a docker client without its daemon."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(EngineError, match="docker is installed, but Cannot connect to the Docker daemon"):
        Engine.find("docker")


def test_another_engine_is_refused() -> None:
    with pytest.raises(EngineError, match="ENGINE is one of docker, podman, buildah, not 'kaniko'"):
        Engine.find("kaniko")


def test_a_single_flag_of_the_engine_is_passed_on() -> None:
    """It begins with a dash, and so was taken for a flag of ours."""
    printed = subprocess.run(
        ["make", "-n", "push", "PUSH_FLAGS=--tls-verify=false"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    assert '--flags="--tls-verify=false"' in printed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_s_context_is_where_faas_cli_lays_it_out(name: str) -> None:
    [image] = [image for image in IMAGES if image.name == name]
    assert image.context == REPOSITORY / "build" / name
