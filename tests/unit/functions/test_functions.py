"""Each function has its folder of tests here, and refuses to start where something is missing."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flownexus.errors import MissingSettingError
from tests.fixtures.function import NOBODY, STACK
from tests.fixtures.handler import FUNCTIONS, load_handler
from tests.fixtures.pages import PageTests
from tests.fixtures.routes import RouteTests

FOLDERS = Path(__file__).parent
OPTIONAL = {
    "flownexus-hook-token",
    "flownexus-oidc-client-secret",
    "flownexus-firmware-store-access-key",
    "flownexus-firmware-store-secret-key",
}
"""What a function needs only by a setting."""


def test_each_function_has_its_folder_of_tests_under_its_name() -> None:
    there = {path.name for path in FOLDERS.iterdir() if any(path.glob("test_*.py"))}
    assert there == set(STACK) == {path.parent.name for path in FUNCTIONS.glob("*/handler.py")}


def names(file: Path) -> Iterator[object]:
    """Yield what stands in a module of tests."""
    spec = importlib.util.spec_from_file_location("tests_of_a_function", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield from vars(module).values()


@pytest.mark.parametrize("function", STACK)
def test_each_function_is_held_to_the_tests_of_all_routes(function: str) -> None:
    """Those fail where one of its routes has no right request."""
    held = [
        name
        for file in (FOLDERS / function).glob("test_*.py")
        for name in names(file)
        if isinstance(name, type) and name in (*RouteTests.__subclasses__(), *PageTests.__subclasses__())
    ]
    assert [name.__name__.startswith("Test") for name in held] == [True], (
        f"{function}: a subclass of RouteTests, or of PageTests where people sign in"
    )


@pytest.mark.parametrize(
    ("function", "missing"),
    [
        (name, secret)
        for name, function in STACK.items()
        for secret in function.secrets
        if secret not in OPTIONAL
    ],
)
def test_a_function_without_one_of_its_secrets_refuses_to_start(
    function: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    for name, value in STACK[function].environment.items():
        monkeypatch.setenv(name, value)
    for name in STACK[function].secrets:
        if name != missing:
            (tmp_path / name).write_text(NOBODY)
    with pytest.raises(MissingSettingError, match=re.escape(missing)):
        load_handler(function).app  # noqa: B018  # it is made here
