"""Read stack.yml, OpenFaaS's description of the functions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.supervise.process import MAX_NICE

LANGUAGE = "python3-flownexus"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class StackError(ValueError):
    """stack.yml cannot be served by the local provider."""


@dataclass(frozen=True)
class Function:
    """One function of stack.yml."""

    name: str
    handler: Path
    image: str
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    nice: int
    """How far it stands back where processors are short: what Kubernetes makes of requests.cpu."""

    @property
    def scale_min(self) -> int:
        """Return how many replicas it starts with."""
        return int(self.labels.get("com.openfaas.scale.min", "1"))


def read_stack(path: Path, environment: Mapping[str, str]) -> dict[str, Function]:
    """Return the functions by name; `environment` fills in ${VARIABLE:-default}, as faas-cli does it."""
    try:
        document = yaml.safe_load(substitute(path.read_text(encoding="utf-8"), environment))
    except (OSError, yaml.YAMLError) as error:
        raise StackError(f"{path} cannot be read: {error}") from error
    described = document.get("functions") if isinstance(document, dict) else None
    if not isinstance(described, dict):
        raise StackError(f"{path} has no functions")
    nice = nice_levels({name: _processors(name, entry) for name, entry in described.items()})
    return {
        name: _function(name, entry, path.resolve().parent, nice[name]) for name, entry in described.items()
    }


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Fill in ${VARIABLE} and ${VARIABLE:-default}; an empty variable counts as absent, as in a shell."""
    return _VARIABLE.sub(lambda match: environment.get(match[1]) or match[2] or "", text)


def _function(name: str, entry: Mapping[str, Any], root: Path, nice: int) -> Function:
    if entry.get("lang") != LANGUAGE:
        raise StackError(f"function {name}: lang is {entry.get('lang')!r}; only {LANGUAGE} is served here")
    handler = (root / str(entry.get("handler", ""))).resolve()
    if not handler.is_relative_to(root) or not (handler / "handler.py").is_file():
        raise StackError(f"function {name}: there is no handler.py in {handler}")
    return Function(
        name=name,
        handler=handler,
        image=str(entry.get("image", name)),
        environment=_texts(entry.get("environment")),
        secrets=tuple(entry.get("secrets") or ()),
        labels=_texts(entry.get("labels")),
        annotations=_texts(entry.get("annotations")),
        nice=nice,
    )


def nice_levels(processors: Mapping[str, float | None]) -> dict[str, int]:
    """Turn what functions ask for into nice levels: each has 1.25 times the share of the next (sched(7))."""
    largest = max((each for each in processors.values() if each), default=0.0)
    return {
        name: min(MAX_NICE, round(math.log(largest / each, 1.25))) if each else 0
        for name, each in processors.items()
    }


def _processors(name: str, entry: Mapping[str, Any]) -> float | None:
    """Return the processors that a function asks for, as Kubernetes writes them: 0.1 or 100m."""
    quantity = (entry.get("requests") or {}).get("cpu")
    if quantity is None:
        return None
    text = str(quantity)
    try:
        processors = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        processors = math.nan
    if not 0 < processors < math.inf:
        raise StackError(f"function {name}: requests.cpu is {text!r}; it is of the form 0.1 or 100m")
    return processors


def _texts(entries: Mapping[str, Any] | None) -> dict[str, str]:
    """Return all values as text, as they stand in the environment or in a label."""
    return {
        str(key): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in (entries or {}).items()
    }
