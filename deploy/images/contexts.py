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
HERE = REPOSITORY / "deploy" / "images"
STAGES = ("connector", "downloads", "migrate")
"""What is an image of its own of the Python parts that are no functions."""
SHRINKWRAP_TIMEOUT_S = 120

_IGNORED = shutil.ignore_patterns("__pycache__", ".mypy_cache")


class ContextError(RuntimeError):
    """A context cannot be laid out."""


@dataclass(frozen=True)
class Image:
    """An image to build."""

    name: str
    reference: str
    """Registry, repository and tag."""
    containerfile: Path
    context: Path
    """The folder that it is built from."""
    stage: str = ""
    """The stage of its Containerfile that it is, where that has several."""
    is_java: bool = False


def images(environment: Mapping[str, str]) -> list[Image]:
    """Return all images: of each function of stack.yml, the connector, downloads, Leshan and the migrations.

    REGISTRY and TAG of `environment` name them, as in stack.yml.
    """
    functions = read_stack(REPOSITORY / "stack.yml", environment).values()
    some = next(iter(functions))

    def reference(name: str) -> str:
        return some.image.replace(f"flownexus-{some.name}:", f"flownexus-{name}:")

    java_file = HERE / "leshan" / "Containerfile"
    return [
        *(Image(each.name, each.image, TEMPLATE / "Dockerfile", BUILD / each.name) for each in functions),
        *(
            Image(name, reference(name), HERE / "Containerfile", BUILD / "python", stage=name)
            for name in STAGES
        ),
        Image("leshan", reference("leshan"), java_file, BUILD / "leshan", is_java=True),
    ]


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
    for context in {image.context for image in wanted}:
        if context.name in _CONTENT:
            _copy(_CONTENT[context.name], context)


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
    "python": {
        "requirements.txt": TEMPLATE / "requirements.txt",
        "connector-requirements.txt": HERE / "connector-requirements.txt",
        **{name: REPOSITORY / name for name in ("flownexus", "connector", "downloads", "sql")},
    },
    "leshan": {"leshan-server.jar": java.SERVER_JAR},
}
"""What stands in the contexts of the images that are no functions."""
