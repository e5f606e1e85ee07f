"""Enrol devices: make their credentials, keep what is to be kept of them, and have Leshan know them.

What needs `cryptography` is imported when it is asked for: most replicas never make a credential.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from flownexus.errors import ConflictError, TemporaryError, ValidationFailedError
from flownexus.fields import Time, element
from flownexus.settings import secret_lines, secret_lines_or_off, text_setting
from flownexus.store import credential as store
from flownexus.store.credential import Credential, NewCredential
from flownexus.store.pool import Pool

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from flownexus.enrolment.authority import Authority
    from flownexus.enrolment.files import Server

log = logging.getLogger(__name__)

MAX_EXPIRES_IN_S: Final = 25 * 366 * 24 * 3600
MAX_PEM: Final = 8192  # characters
DEFAULT_OVERLAP_S: Final = 7 * 24 * 3600
_OF_MODE: Final = {"psk": ("identity", "key"), "rpk": ("public_key",), "x509": ("csr",)}


DeviceName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(?!\.\.?$)[^\x00-\x1f\x7f-\x9f\ufffd]{1,255}$(?!\n)",
        description="the endpoint's name: 1 to 255 characters, no control characters, not . or ..",
    ),
]
PskIdentity: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,128}$(?!\n)",
        description="of psk: 1 to 128 bytes on one line; by default the endpoint's name",
    ),
]
PskKey: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^([0-9A-Fa-f]{2}){16,64}$(?!\n)",
        description="of psk: 16 to 64 bytes in hex that the device has already; by default a new one",
    ),
]


class Wanted(msgspec.Struct, frozen=True):
    """A credential that is to be made."""

    endpoint: DeviceName
    mode: Annotated[Literal["psk", "rpk", "x509"], Meta(description="psk, rpk or x509")]
    identity: PskIdentity | None = None
    key: PskKey | None = None
    public_key: (
        Annotated[
            str,
            Meta(max_length=MAX_PEM, description="of rpk: the device's own, in PEM; by default a new pair"),
        ]
        | None
    ) = None
    csr: (
        Annotated[
            str,
            Meta(
                max_length=MAX_PEM,
                description="of x509: the device's request in PEM (PKCS#10); by default a new pair of keys",
            ),
        ]
        | None
    ) = None
    expires_at: Time | None = None
    expires_in: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=MAX_EXPIRES_IN_S,
                description=f"a number of seconds, above 0 and up to {MAX_EXPIRES_IN_S}",
            ),
        ]
        | None
    ) = None


class Succession(msgspec.Struct, frozen=True):
    """What is to follow a credential, and for how long both count."""

    overlap: Annotated[
        float,
        Meta(
            ge=0,
            le=MAX_EXPIRES_IN_S,
            description=f"a number of seconds from 0 to {MAX_EXPIRES_IN_S}; by default {DEFAULT_OVERLAP_S}",
        ),
    ] = DEFAULT_OVERLAP_S
    public_key: Annotated[str, Meta(max_length=MAX_PEM, description="as of a new one")] | None = None
    csr: Annotated[str, Meta(max_length=MAX_PEM, description="as of a new one")] | None = None
    expires_at: Time | None = None


class Made(NamedTuple):
    """A credential that was made, and the files for its device, which are shown this once."""

    credential: Credential
    files: dict[str, str]


@dataclass(frozen=True)
class EnrolmentSecrets:
    """What credentials are made by: the lines of secrets, and where devices find Leshan."""

    keys: tuple[str, ...]
    authority: tuple[str, ...]
    """The CA's certificate and key in PEM; none where it is off."""
    server: tuple[str, ...]
    """Leshan's certificate in PEM; none where it is off."""
    coaps_url: str

    @classmethod
    def from_environment(cls) -> EnrolmentSecrets:
        """Read them; raise MissingSettingError."""
        return cls(
            secret_lines("flownexus-credential-key"),
            secret_lines_or_off("flownexus-ca"),
            secret_lines_or_off("flownexus-leshan-certificate"),
            text_setting("coaps_url"),
        )


class Enroller:
    """Makes, replaces and revokes credentials; `carry` has Leshan know of what has changed."""

    def __init__(self, pool: Pool, carry: Callable[[], int], secrets: EnrolmentSecrets) -> None:
        self.pool = pool
        self._carry = carry
        self.secrets = secrets

    def make(self, wanted: Sequence[Wanted], by: str) -> list[Made]:
        """Make credentials, all or none; raise ValidationFailedError or ConflictError."""
        drafts = []
        for place, each in enumerate(wanted, 1):
            try:
                drafts.append(self._draft(each))
            except ValidationFailedError as error:
                if len(wanted) == 1:
                    raise
                raise ValidationFailedError(f"{element('credentials', place)}: {error.detail}") from None
        rows = store.add(self.pool, [draft.new for draft in drafts], by)
        return [Made(row, draft.files(row)) for row, draft in zip(rows, drafts, strict=True)]

    def succeed(self, id_: int, asked: Succession, by: str) -> Made:
        """Make the credential that follows another, which ends when the overlap is over.

        Raises NotFoundError, ValidationFailedError, and ConflictError where the other one is revoked.
        """
        old = store.show(self.pool, id_)
        wanted = Wanted(old.endpoint, old.mode, None, None, asked.public_key, asked.csr, asked.expires_at)  # type: ignore[arg-type]
        draft = self._draft(wanted)
        row, _ = store.replace(self.pool, id_, draft.new, asked.overlap, by)
        return Made(row, draft.files(row))

    def carried(self) -> bool:
        """Have Leshan know at once; False where that has to wait for housekeeping."""
        try:
            self._carry()
        except TemporaryError as error:
            log.warning("credentials are carried to Leshan later: %s", error)
            return False
        return True

    def _draft(self, wanted: Wanted) -> _Draft:
        for mode, names in _OF_MODE.items():
            if mode != wanted.mode and (given := [name for name in names if getattr(wanted, name)]):
                raise ValidationFailedError(f"{given[0]}: is of {mode}, and this one is of {wanted.mode}")
        end = _end(wanted)
        if wanted.mode == "psk":
            return self._psk(wanted, end)
        return self._rpk(wanted, end) if wanted.mode == "rpk" else self._x509(wanted, end)

    def _psk(self, wanted: Wanted, end: datetime | None) -> _Draft:
        from flownexus.enrolment import files
        from flownexus.enrolment.keys import new_psk
        from flownexus.enrolment.sealing import Sealer

        key = bytes.fromhex(wanted.key) if wanted.key else new_psk()
        sealed = Sealer(self.secrets.keys).seal(key, wanted.endpoint)
        new = NewCredential(wanted.endpoint, "psk", wanted.identity, sealed, expires_at=end)
        server = self._server()
        return _Draft(new, lambda row: files.of_psk(server, row.endpoint, row.identity or "", key))

    def _rpk(self, wanted: Wanted, end: datetime | None) -> _Draft:
        from flownexus.enrolment import files
        from flownexus.enrolment.keys import fingerprint, new_pair, public_der, read_public

        server = self._server()
        if server.certificate is None:
            raise ConflictError(_NO_AUTHORITY)
        key = None if wanted.public_key else new_pair()
        public = read_public(wanted.public_key or "") if key is None else key.public_key()
        der = public_der(public)
        new = NewCredential(
            wanted.endpoint, "rpk", public_key=der, fingerprint=fingerprint(der), expires_at=end
        )
        return _Draft(new, lambda row: files.of_rpk(server, row.endpoint, public, key))

    def _x509(self, wanted: Wanted, end: datetime | None) -> _Draft:
        from flownexus.enrolment import authority, files
        from flownexus.enrolment.keys import fingerprint, new_pair

        ca = self._authority()
        if ca is None:
            raise ConflictError(_NO_AUTHORITY)
        key: ec.EllipticCurvePrivateKey | None = None
        if wanted.csr:
            public = authority.public_key_of_request(wanted.csr, wanted.endpoint)
        else:
            key = new_pair()
            public = key.public_key()
        certificate = ca.device(wanted.endpoint, public, authority.now(), end)
        new = NewCredential(
            wanted.endpoint,
            "x509",
            fingerprint=fingerprint(authority.certificate_der(certificate)),
            expires_at=certificate.not_valid_after_utc,
        )
        server = self._server()
        return _Draft(new, lambda row: files.of_certificate(server, row.endpoint, certificate, key))

    def _authority(self) -> Authority | None:
        from flownexus.enrolment.authority import Authority

        lines = self.secrets.authority
        return Authority.read("\n".join(lines)) if lines else None

    def _server(self) -> Server:
        from cryptography import x509

        from flownexus.enrolment.files import Server

        def certificate(lines: tuple[str, ...]) -> x509.Certificate | None:
            return x509.load_pem_x509_certificate("\n".join(lines).encode()) if lines else None

        return Server(
            self.secrets.coaps_url, certificate(self.secrets.server), certificate(self.secrets.authority)
        )


_NO_AUTHORITY: Final = "there is no CA, and so psk alone can be made; docs/enrolment.md says how to make one"


class _Draft(NamedTuple):
    """A credential before it is kept, and what makes its files once its identity is known."""

    new: NewCredential
    files: Callable[[Credential], dict[str, str]]


def _end(wanted: Wanted) -> datetime | None:
    """Return when a credential ends, in UTC; raise ValidationFailedError where that is over."""
    if wanted.expires_at is not None and wanted.expires_in is not None:
        raise ValidationFailedError("expires_in: cannot be combined with expires_at")
    now = datetime.now(UTC)
    if wanted.expires_in is not None:
        return now + timedelta(seconds=wanted.expires_in)
    if wanted.expires_at is None:
        return None
    if wanted.expires_at <= now:
        raise ValidationFailedError(
            f"expires_at: {wanted.expires_at.isoformat()} is over; give a time to come"
        )
    return wanted.expires_at
