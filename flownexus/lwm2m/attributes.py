"""Notification attributes: when a device notifies of what is observed (OMA LwM2M Core 1.1, 5.1.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import in_json

PERIODS: Final = ("pmin", "pmax", "epmin", "epmax")
"""Whole seconds; of anything that can be observed."""
STEPS: Final = ("gt", "lt", "st")
"""Numbers, compared with the value; of a resource or resource instance."""
MAX_PERIOD_S: Final = 2**32 - 1


class BadAttributeError(ValueError):
    """The attributes are not those that LwM2M has for this path."""


def check(attributes: object, path: Path) -> None:
    """Raise BadAttributeError saying what would be right, where these are not attributes of a path.

    `attributes` are numbers by name; null takes an attribute back.
    """
    if not isinstance(attributes, Mapping) or not attributes:
        raise BadAttributeError(
            'are attributes by name, such as {"pmin": 10, "pmax": 60}; null takes one back'
        )
    for name, value in attributes.items():
        if name not in (*PERIODS, *STEPS):
            raise BadAttributeError(
                f"{in_json(name)} is no attribute; one of {', '.join((*PERIODS, *STEPS))}"
            )
        if name in STEPS and path.resource_id is None:
            raise BadAttributeError(
                f"{name} is an attribute of a resource, such as /3303/0/5700, not of {path}"
            )
        if value is not None:
            _check_value(name, value)
    given = {name: value for name, value in attributes.items() if value is not None}
    for least, greatest in (("pmin", "pmax"), ("epmin", "epmax")):
        if least in given and greatest in given and given[greatest] < given[least]:
            raise BadAttributeError(f"{greatest} {given[greatest]} is at least {least}, {given[least]}")
    if set(STEPS) <= set(given) and not given["lt"] + 2 * given["st"] < given["gt"]:
        raise BadAttributeError("lt + 2 * st is less than gt (OMA LwM2M Core 1.1, 5.1.2)")


def _check_value(name: str, value: Any) -> None:
    if name in PERIODS:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PERIOD_S:
            raise BadAttributeError(f"{name} is whole seconds from 0 to {MAX_PERIOD_S}, or null")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadAttributeError(f"{name} is a number, or null")
    elif name == "st" and value <= 0:
        raise BadAttributeError("st is a number above 0, or null")


def in_query(attributes: Mapping[str, Any]) -> dict[str, str | None]:
    """Return attributes as the parameters of a query; null for one without a value, which takes it back."""
    return {
        name: None if value is None else format(Decimal(repr(value)), "f")
        for name, value in attributes.items()
    }
