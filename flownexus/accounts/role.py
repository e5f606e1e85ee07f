"""What a user of the console may do."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
"""A user's name; the same rule stands in the migration that made console_user."""


class Role(StrEnum):
    """Each may do what those before it may, and more."""

    VIEWER = "viewer"
    """See devices, values, operations."""
    OPERATOR = "operator"
    """Queue and cancel operations, update devices, run campaigns, have dead letters delivered again."""
    ADMIN = "admin"
    """Invite, change and disable users; read the audit log; change firmware, profiles, dead letters."""

    def includes(self, other: Role) -> bool:
        """Say whether this role may do all that the other one may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


SCOPES: Final = {
    Role.VIEWER: ("read",),
    Role.OPERATOR: ("read", "operate"),
    Role.ADMIN: ("read", "operate", "administer"),
}
"""What tokens of the REST API may do that a user of the role makes."""


def as_name(text: str) -> str | None:
    """Return a user's name as it is kept; None where it is none."""
    name = text.strip().lower()
    return name if NAME.fullmatch(name) else None
