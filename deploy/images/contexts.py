"""Lay out what each image is built from: a folder with a Containerfile and all that it copies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from local import REPOSITORY
from local.openfaas.stack import LANGUAGE, Function, read_stack
from local.servers import java

TEMPLATE = REPOSITORY / "template" / LANGUAGE
BUILD = REPOSITORY / "build"
"""Where contexts are laid out, a folder each: faas-cli's own place."""
SHRINKWRAP_TIMEOUT_S = 120

_IGNORED = shutil.ignore_patterns("__pycache__", ".mypy_cache")


class ContextError(RuntimeError):
    """A context cannot be laid out."""


@dataclass(frozen=True)
class Image:
    """An image to build."""

    name: str
    """As the folder of its context is called."""
    reference: str
    """Registry, repository and tag."""
    containerfile: Path
    is_java: bool = False

    @property
    def context(self) -> Path:
        """Return the folder that it is built from."""
        return BUILD / self.name


def images(environment: Mapping[str, str]) -> list[Image]:
    """Return all images: of each function of stack.yml, the connector, downloads, Leshan and the migrations.

    REGISTRY and TAG of `environment` name them, as in stack.yml.
    """
    functions = read_stack(REPOSITORY / "stack.yml", environment).values()
    some = next(iter(functions))
    others = [
        Image(
            name,
            some.image.replace(f"flownexus-{some.name}:", f"flownexus-{name}:"),
            REPOSITORY / "deploy" / "images" / name / "Containerfile",
            is_java=name == "leshan",
        )
        for name in _CONTENT
    ]
    return [Image(each.name, each.image, TEMPLATE / "Dockerfile") for each in functions] + others


def lay_out(wanted: Sequence[Image], environment: Mapping[str, str], progress: Callable[[str], None]) -> None:
    """Write the contexts of images, those of functions by faas-cli where it is installed."""
    names = {image.name for image in wanted}
    if (faas_cli := shutil.which("faas-cli")) is not None:
        progress("contexts of the functions: faas-cli build --shrinkwrap")
        _shrinkwrap(faas_cli, environment)
    else:
        progress("contexts of the functions: laid out here, faas-cli is not installed")
        for name, function in read_stack(REPOSITORY / "stack.yml", environment).items():
            if name in names:
                copy_function(function, BUILD / name)
    if any(image.is_java for image in wanted):
        java.build(BUILD / "maven.log", progress)
    for name in names & _CONTENT.keys():
        _copy(_CONTENT[name], BUILD / name)


def copy_function(function: Function, target: Path) -> None:
    """Write the context of a function as `faas-cli build --shrinkwrap` does."""
    stack = yaml.safe_load((REPOSITORY / "stack.yml").read_text(encoding="utf-8"))
    extra = [Path(path) for path in stack.get("configuration", {}).get("copy", [])]
    _copy(
        {
            ".": TEMPLATE,
            "function": function.handler,
            **{f"function/{path}": REPOSITORY / path for path in extra},
        },
        target,
        without=TEMPLATE / "function",
    )


def _shrinkwrap(faas_cli: str, environment: Mapping[str, str]) -> None:
    try:
        subprocess.run(
            [faas_cli, "build", "--shrinkwrap", "-f", "stack.yml"],
            cwd=REPOSITORY,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=True,
            timeout=SHRINKWRAP_TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        raise ContextError(f"faas-cli build --shrinkwrap failed:\n{error.stdout}{error.stderr}") from error
    except subprocess.TimeoutExpired as error:
        raise ContextError(f"faas-cli build --shrinkwrap took more than {error.timeout:.0f} s") from error


def _copy(content: Mapping[str, Path], target: Path, without: Path | None = None) -> None:
    """Write a context anew; `content` says what stands at each of its paths."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        left_out = {name for name in names if Path(folder, name) == without}
        return set(_IGNORED(folder, names)) | left_out

    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, source in content.items():
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target / name)


_CONTENT: dict[str, dict[str, Path]] = {
    "connector": {
        "requirements.txt": TEMPLATE / "requirements.txt",
        "connector-requirements.txt": REPOSITORY / "deploy" / "images" / "connector" / "requirements.txt",
        "flownexus": REPOSITORY / "flownexus",
        "connector": REPOSITORY / "connector",
    },
    "downloads": {
        "requirements.txt": TEMPLATE / "requirements.txt",
        "flownexus": REPOSITORY / "flownexus",
        "downloads": REPOSITORY / "downloads",
    },
    "migrate": {
        "requirements.txt": TEMPLATE / "requirements.txt",
        "flownexus": REPOSITORY / "flownexus",
        "sql": REPOSITORY / "sql",
    },
    "leshan": {"leshan-server.jar": java.SERVER_JAR},
}
"""What stands in the contexts of the images that are no functions."""
