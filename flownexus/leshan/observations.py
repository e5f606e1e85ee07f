"""What Leshan observes of devices now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from flownexus.errors import UnavailableError
from flownexus.leshan.answers import Code
from flownexus.leshan.requests import segment

Ask: TypeAlias = Callable[[str, str], tuple[int, Any]]
"""LeshanQueries.ask: method and path of a request, to status and JSON of its answer."""


@dataclass(frozen=True)
class Observation:
    """An observation: of one path, or a composite of several."""

    composite: bool
    paths: list[str]


_UNREADABLE: Final = "Leshan's answer about its observations makes no sense: is it the one of this version?"


def observations(ask: Ask, endpoint: str) -> list[Observation] | None:
    """Return what is observed of an endpoint, by path; None where it is not registered at Leshan.

    Raises UnavailableError where Leshan does not say.
    """
    status, found = ask("GET", f"/api/clients/{segment(endpoint)}/observations")
    if status == HTTPStatus.OK and isinstance(found, list):
        return sorted(map(_observation, found), key=lambda each: (each.composite, each.paths))
    if isinstance(found, dict) and found.get("code") == Code.NOT_REGISTERED:
        return None
    raise UnavailableError(f"Leshan answers {status} about its observations")


def _observation(told: Any) -> Observation:
    match told:
        case {"path": str(path)}:
            return Observation(composite=False, paths=[path])
        case {"paths": [*paths]} if all(isinstance(path, str) for path in paths):
            return Observation(composite=True, paths=paths)
        case _:
            raise UnavailableError(_UNREADABLE)
