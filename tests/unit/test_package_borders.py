"""What belongs in which package, as far as import-linter's contracts (pyproject.toml) can't say it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import REPOSITORY

PRODUCTION = [
    path
    for package in ("flownexus", "connector", "downloads", "functions", "template")
    for path in sorted((REPOSITORY / package).rglob("*.py"))
]
HANDLERS = sorted((REPOSITORY / "functions").glob("*/handler.py"))
STATEMENT = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s.*", re.DOTALL)
ON_HTTP_CLIENT = {"flownexus/leshan/asking.py", "flownexus/objects/bucket.py", "flownexus/web/openid.py"}
"""Called from threads, or a request now and then: for these no function is to hold aiohttp in memory."""
LESHAN_WORDS = re.compile(r"singleResource|multiResource|/api/clients")


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {"." * node.level + (node.module or "")}
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def strings(path: Path) -> Iterator[str]:
    """Yield the string constants of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.value


@pytest.mark.parametrize("path", HANDLERS, ids=name_of)
def test_a_function_imports_no_other_function_no_tool_and_no_driver(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imports(path)}
    others = {handler.parent.name for handler in HANDLERS} | {"handler", "functions", ""}
    assert not roots & (
        others | {"connector", "local", "psycopg", "psycopg_pool", "aiohttp", "httpx", "nats"}
    )


@pytest.mark.parametrize("path", PRODUCTION, ids=name_of)
def test_nothing_in_production_uses_an_http_client_of_the_standard_library(path: Path) -> None:
    if name_of(path) in ON_HTTP_CLIENT:
        return
    assert not imports(path) & {"urllib.request", "http.client"}


@pytest.mark.parametrize("path", PRODUCTION, ids=name_of)
def test_sql_stands_in_files_of_sql(path: Path) -> None:
    assert not [text for text in strings(path) if STATEMENT.fullmatch(text) and text != "SELECT 1"]


@pytest.mark.parametrize("path", PRODUCTION, ids=name_of)
def test_leshan_s_json_and_urls_stand_in_leshan(path: Path) -> None:
    if path.is_relative_to(REPOSITORY / "flownexus/leshan"):
        return
    assert not [text for text in strings(path) if LESHAN_WORDS.search(text)]
