"""How long who guesses passwords or codes has to wait.

Nobody is locked out for good: the wait has an end, and a browser from which its user has signed in before
is counted by itself, so that a stranger's guesses hold up strangers alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Limit(NamedTuple):
    """How many attempts in a row are free, and how the wait grows from then on."""

    free: int
    longest_s: float
    """Seconds that a wait lasts at most."""
    forget_s: float
    """Seconds without an attempt after which those before are forgotten."""


OF_ACCOUNT: Final = Limit(free=5, longest_s=900, forget_s=86_400)
OF_ADDRESS: Final = Limit(free=30, longest_s=900, forget_s=3_600)
"""Many people may come from one address."""


def wait_s(attempts: int, limit: Limit) -> float:
    """Return the seconds to wait after so many attempts in a row: none, then 1, 2, 4 and so on."""
    beyond = attempts - limit.free
    return 0.0 if beyond < 0 else min(2.0 ** min(beyond, 32), limit.longest_s)
