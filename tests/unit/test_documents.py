"""The documents: their links lead somewhere, their lines are short, and every setting stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path for folder in ("", "docs", "docs/decisions") for path in (REPOSITORY / folder).glob("*.md")
)
SETTINGS = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
MAX_COLUMNS = 99

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SETTING = re.compile(r"""(?:duration|integer|text)_setting\(\s*"([a-z_]+)"|environ\.get\("([a-z_]+)"\)""")
_FLAG = re.compile(r'names = "(--[a-z0-9-]+)"')
_STACK_VARIABLE = re.compile(r"\$\{([A-Z_]+)")
_MAKE_VARIABLE = re.compile(r'environment(?:\.get\(|\[|, )"([A-Z_]+)"')


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither code nor rows of a table, which cannot be broken."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not line.startswith("|"):
            yield number, line


def anchors(path: Path) -> set[str]:
    return {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for _, line in prose(path.read_text(encoding="utf-8"))
        if line.startswith("#")
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_within_the_documents_leads_somewhere(path: Path) -> None:
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_lines_fit_a_terminal(path: Path) -> None:
    long = [
        number
        for number, line in prose(path.read_text(encoding="utf-8"))
        if len(line) > MAX_COLUMNS and " " in line.strip("-* ")
    ]
    assert not long, f"lines {long} are longer than {MAX_COLUMNS} columns"


def sources(pattern: str, *folders: str) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8")
        for folder in folders
        for path in (REPOSITORY / folder).rglob(pattern)
    )


def test_every_setting_of_functions_and_connector_is_documented() -> None:
    found = _SETTING.findall(sources("*.py", "flownexus", "functions", "connector"))
    names = {one or other for one, other in found}
    assert {"retention", "max_open_calls", "leshan_url"} <= names
    assert {each for each in names if f"`{each}`" not in SETTINGS} == set()


def test_every_setting_of_a_function_s_server_is_documented() -> None:
    source = (REPOSITORY / "template/python3-flownexus/function_server/settings.py").read_text(
        encoding="utf-8"
    )
    names = set(re.findall(r"^    ([a-z_]+): [A-Za-z| ]+ = ", source, re.MULTILINE))
    assert {"max_inflight", "threads", "function_dir"} <= names
    assert {each for each in names if f"`{each}`" not in SETTINGS} == set()


def test_every_flag_of_leshan_is_documented() -> None:
    flags = set(_FLAG.findall(sources("Main.java", "leshan/server/src/main")))
    assert {"--spool", "--lanes"} <= flags
    assert {flag for flag in flags if f"`{flag}`" not in SETTINGS} == set()


def test_every_variable_of_make_up_is_documented() -> None:
    stack = (REPOSITORY / "stack.yml").read_text(encoding="utf-8")
    yaml.safe_load(stack)
    names = set(_STACK_VARIABLE.findall(stack)) - {"REGISTRY", "TAG", "EXEC_TIMEOUT", "LESHAN_URL", "NAME"}
    names |= set(_MAKE_VARIABLE.findall(sources("options.py", "local")))
    assert {"DEVICES", "RETENTION", "PLAIN_COAP"} <= names
    assert {each for each in names if f"`{each}" not in SETTINGS} == set()


def test_every_port_of_make_up_is_documented() -> None:
    from local.options import Ports

    assert {Ports.variable(port.name) for port in fields(Ports)} <= set(re.findall(r"`([A-Z_]+)`", SETTINGS))


def test_every_decision_is_in_the_index() -> None:
    index = (REPOSITORY / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in (REPOSITORY / "docs" / "decisions").glob("[0-9]*.md")}
    assert files == set(re.findall(r"\]\(([0-9][^)]+\.md)\)", index))


def test_a_metric_that_a_document_names_is_there() -> None:
    python = (REPOSITORY / "flownexus" / "metrics.py").read_text(encoding="utf-8")
    [java_file] = (REPOSITORY / "leshan" / "server" / "src" / "main").rglob("base/Metrics.java")
    java = java_file.read_text(encoding="utf-8")
    gauges = {constant.lower() for constant in re.findall(r"^\s+([A-Z_]+)\(\"", java, re.MULTILINE)}
    known = set(re.findall(r'"(flownexus_\w+)"', python))
    known |= {f"flownexus_leshan_{name}" for name in gauges | set(re.findall(r'"([a-z_]+)"', java))}
    parts = "webhook|store|dispatch|housekeeping|messaging|connector|leshan"
    named: set[str] = set()
    for path in (*DOCUMENTS, *(REPOSITORY / "deploy" / "grafana").rglob("*.yaml")):
        named |= set(re.findall(rf"\bflownexus_(?:{parts})_\w*[a-z]\b", path.read_text(encoding="utf-8")))
    assert len(named) > 5
    assert {name.removesuffix("_total") for name in named} <= known
