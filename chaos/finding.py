"""What an audit finds, by comparing what devices and users were told to what is in the database.

An auditor does not ask the system how it fared. Devices keep a ledger of what was acknowledged to them and a
log of what they were asked; users keep the answers to what they queued. Everything else must follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

EXAMPLES: Final = 5
"""How many of what was found are shown."""


@dataclass(frozen=True)
class Finding:
    """One thing that must not be: how many were looked at, and those that it is true of."""

    what: str
    among: int
    found: Sequence[Any]

    @property
    def clean(self) -> bool:
        """Say whether there is none."""
        return not self.found

    @property
    def examples(self) -> str:
        """Return the first few as text."""
        shown = ", ".join(str(each) for each in self.found[:EXAMPLES])
        return shown + (f" and {len(self.found) - EXAMPLES} more" if len(self.found) > EXAMPLES else "")
