"""Bootstrap devices: keep their factory keys, and say to Leshan's bootstrap server whom it hands out what.

What needs `cryptography` is imported when it is asked for: most replicas never bootstrap a device.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from flownexus.enrolment.handout import Instance, Server, handed_out
from flownexus.errors import ConflictError, NotFoundError
from flownexus.store import bootstrap as store
from flownexus.store.bootstrap import FactoryCredential, NewFactoryCredential
from flownexus.store.credential import NewCredential
from flownexus.web.enrolling import DeviceName, Enroller, PskIdentity, PskKey

if TYPE_CHECKING:
    from flownexus.enrolment.sealing import Sealer

DEFAULT_PROFILE: Final = "default"
BY: Final = "bootstrap"
"""Who makes and revokes credentials in a session."""
PROFILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
PROFILE_NAME_WANTED: Final = (
    "a profile's name: 1 to 64 of a-z, 0-9, dot, underscore, hyphen; first a letter or digit"
)
ProfileName: TypeAlias = Annotated[
    str, Meta(pattern=rf"^{PROFILE_NAME.pattern}$(?!\n)", description=PROFILE_NAME_WANTED)
]


class WantedKey(msgspec.Struct, frozen=True):
    """A factory key that is to be known."""

    endpoint: DeviceName
    identity: PskIdentity | None = None
    key: PskKey | None = None
    profile: ProfileName = DEFAULT_PROFILE


class MadeKey(NamedTuple):
    """A factory key that is known from now on, and the files for its device, which are shown this once."""

    row: FactoryCredential
    files: dict[str, str]


class OpenedKey(NamedTuple):
    """A factory key, and whose it is."""

    key: bytes
    endpoint: str


class HandedOut(NamedTuple):
    """A session, and the object instances that are written in it."""

    session: int
    writes: list[Instance]


class Bootstrapper:
    """Knows factory keys, and begins and ends sessions; an enroller carries what they make to Leshan."""

    def __init__(self, enroller: Enroller) -> None:
        self.pool = enroller.pool
        self._enroller = enroller
        self._carrying = threading.Lock()
        self._carried_since = 0.0

    def add(self, wanted: Sequence[WantedKey], by: str) -> list[MadeKey]:
        """Keep factory keys, all or none; raise ConflictError where a device or an identity has one."""
        from flownexus.enrolment.keys import new_psk

        sealer = self._sealer()
        keys = [bytes.fromhex(each.key) if each.key else new_psk() for each in wanted]
        new = [
            NewFactoryCredential(
                each.endpoint,
                each.identity or each.endpoint,
                sealer.seal(key, _context(each.endpoint)),
                each.profile,
            )
            for each, key in zip(wanted, keys, strict=True)
        ]
        rows = store.add(self.pool, new, by)
        return [
            MadeKey(row, {"psk-identity.txt": f"{row.identity}\n", "psk-key.hex": f"{key.hex()}\n"})
            for row, key in zip(rows, keys, strict=True)
        ]

    def key_of(self, identity: str) -> OpenedKey:
        """Return the factory key of an identity; raise NotFoundError where no device may bootstrap by it."""
        found = store.key_of(self.pool, identity)
        if found is None:
            raise NotFoundError("no device may bootstrap with this identity")
        key = self._sealer().open(found.sealed_key, _context(found.endpoint))
        return OpenedKey(key, found.endpoint)

    def begin(self, identity: str, endpoint: str, address: str) -> HandedOut:
        """Begin a session of who has shown a factory key; raise ConflictError where it is refused.

        Leshan knows the new credential when this returns, if it can be reached.
        """
        from flownexus.enrolment.keys import new_psk

        key = new_psk()
        sealed = self._sealer().seal(key, endpoint)
        new = NewCredential(endpoint, "psk", sealed_key=sealed)
        begun = store.begin(self.pool, identity, endpoint, address, new, BY)
        if isinstance(begun, str):
            raise ConflictError(begun)
        self._carry()
        profile = begun.profile
        server = Server(
            profile.server_uri or self._enroller.secrets.coaps_url,
            profile.short_server_id,
            profile.lifetime,
            profile.binding,
            profile.min_period,
            profile.max_period,
            profile.disable_timeout,
            profile.store_notifications,
        )
        writes = handed_out(server, begun.credential.identity or "", key, profile.objects)
        return HandedOut(begun.session, writes)

    def end(self, session: int, failure: str | None) -> None:
        """End a session, once: without a failure the factory key is used up."""
        if store.end(self.pool, session, failure, BY):
            self._carry()

    def _carry(self) -> None:
        """Carry to Leshan, once for all who wait: many devices begin at a time."""
        asked = time.monotonic()
        with self._carrying:
            if self._carried_since >= asked:
                return
            began = time.monotonic()
            if self._enroller.carried():
                self._carried_since = began

    def _sealer(self) -> Sealer:
        from flownexus.enrolment.sealing import Sealer

        return Sealer(self._enroller.secrets.keys)


def _context(endpoint: str) -> str:
    """Return what a factory key is sealed for: nobody can take it for the device's own key."""
    return f"factory key of {endpoint}"
