"""Carry credentials of devices from the database to Leshan, as far as they have changed since the last time.

Leshan says which revision of which database it has. What it has of another database, or of a later
revision than there is (a database that was restored), is replaced as a whole. Several may carry at once:
Leshan takes a part only where it has what that part follows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from psycopg_pool import ConnectionPool

from flownexus.errors import UnavailableError
from flownexus.leshan.security import Carried, Secret, SecurityClient, entry
from flownexus.store import credential as store

ENDPOINTS_A_PART: Final = 1000
MAX_RACES: Final = 5
"""How often another's carrying may come between."""
RACE_DELAY_S: Final = 0.05


class Carrier:
    """Carries; `secrets` are those of flownexus-credential-key, by which pre-shared keys are sealed."""

    def __init__(self, pool: ConnectionPool, leshan: SecurityClient, secrets: Sequence[str]) -> None:
        self._pool = pool
        self._leshan = leshan
        self._secrets = secrets

    def carry(self) -> int:
        """Carry what has changed; return of how many endpoints. Raises UnavailableError.

        Nobody is asked while no endpoint was ever enrolled.
        """
        if store.enrolment(self._pool).revision == 0:
            return 0
        carried = 0
        for race in range(MAX_RACES + 1):
            time.sleep(random.uniform(0, RACE_DELAY_S * race))  # noqa: S311  # jitter
            done, ended = self._carry_from(self._leshan.carried())
            carried += done
            if ended:
                return carried
        raise UnavailableError("others carry credentials to Leshan; it is tried again")

    def _carry_from(self, there: Carried) -> tuple[int, bool]:
        """Carry what follows; return of how many endpoints, and False where others came between."""
        now = store.enrolment(self._pool)  # after Leshan was asked: what it has of this is committed
        begins = there.source != now.source or there.revision > now.revision
        carried = 0
        while begins or there.revision < now.revision:
            part = store.part(self._pool, 0 if begins else there.revision, ENDPOINTS_A_PART)
            if not self._leshan.carry(there, self._change(part, begins)):
                return carried, False
            carried += len(part.endpoints)
            if part.is_last:
                break
            there, begins = Carried(now.source, part.revision), False
        return carried, True

    def _change(self, part: store.Part, begins: bool) -> dict[str, object]:
        open_ = self._opener(part)
        return {
            "source": part.enrolment.source,
            "revision": part.revision,
            "unenrolled": "refused" if part.enrolment.refuses_unenrolled else "admitted",
            "begins": begins,
            "completes": part.is_last,
            "entries": [
                entry(
                    name,
                    [
                        Secret(each.mode, each.identity, open_(each), each.fingerprint, each.expires_at)
                        for each in kept
                    ],
                )
                for name, kept in part.endpoints.items()
            ],
        }

    def _opener(self, part: store.Part) -> Callable[[store.Kept], bytes | None]:
        """Return what opens keys; a part without any needs no cryptography, and does not load it."""
        if not any(each.sealed_key for kept in part.endpoints.values() for each in kept):
            return lambda each: each.public_key
        from flownexus.enrolment.sealing import Sealer

        sealer = Sealer(self._secrets)
        return lambda each: (
            each.public_key if each.sealed_key is None else sealer.open(each.sealed_key, each.endpoint)
        )
