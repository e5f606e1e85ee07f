"""Objects that hold keys: their values are sent, and shown to nobody."""

from __future__ import annotations

import re
from typing import Final

SECRET_OBJECTS: Final = frozenset({0, 21})
"""LWM2M Security and OSCORE (OMA LwM2M Core 1.1, appendix E.1 and E.8)."""
_SECRET_PATH: Final = re.compile(r"/?(?:0|21)(?:/|$)", re.ASCII)


def is_secret(path: str) -> bool:
    """Say whether a path is that of an object that holds keys, or of a part of it."""
    return _SECRET_PATH.match(path) is not None
