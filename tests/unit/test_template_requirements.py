"""What is installed in images is what uv.lock locks, with every hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = REPOSITORY / "template" / "python3-flownexus" / "requirements.txt"
CONNECTOR = REPOSITORY / "deploy" / "images" / "connector-requirements.txt"
REFRESH = "run: make requirements"

Pins = dict[tuple[str, str], frozenset[str]]


def locked(group: str | None = None) -> Pins:
    """Return the packages that a function needs, or a group, with what they need in turn and their hashes."""
    lock: dict[str, Any] = tomllib.loads((REPOSITORY / "uv.lock").read_text())
    packages: dict[str, list[dict[str, Any]]] = {}
    for package in lock["package"]:
        packages.setdefault(package["name"], []).append(package)
    pins: Pins = {}
    (project,) = packages["flownexus"]
    wanted = list(project["dev-dependencies"][group] if group else project["dependencies"])
    seen: set[str] = set()
    while wanted:
        dependency = wanted.pop()
        for package in packages[dependency["name"]]:
            if dependency.get("version", package["version"]) != package["version"]:
                continue
            files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
            pins[package["name"], package["version"]] = frozenset(file["hash"] for file in files)
            more = list(package.get("dependencies", []))
            for extra in dependency.get("extra", []):
                more += package.get("optional-dependencies", {}).get(extra, [])
            wanted += [d for d in more if repr(d) not in seen]
            seen |= {repr(d) for d in more}
    return pins


def pinned(requirements: Path = REQUIREMENTS) -> Pins:
    """Return what requirements.txt pins."""
    pins: Pins = {}
    for entry in re.split(r"\n(?=\S)", requirements.read_text().strip()):
        name, version = re.match(r"([\w.-]+)==([\w.]+)", entry).groups()  # type: ignore[union-attr]
        pins[name, version] = frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry))
    return pins


def test_requirements_are_in_step_with_the_lock() -> None:
    assert sorted(pinned()) == sorted(locked()), REFRESH
    assert pinned() == locked(), REFRESH


def test_the_connector_s_requirements_are_in_step_with_the_lock() -> None:
    assert pinned(CONNECTOR) == locked("connector"), REFRESH


def test_every_requirement_has_a_hash() -> None:
    for requirements in (REQUIREMENTS, CONNECTOR):
        assert pinned(requirements)
        assert all(pinned(requirements).values())
