"""Who may call a function, and what they may do there.

A caller is known by a bearer token. Each token stands for a principal: a name, and the scopes it has.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

from flownexus.errors import FlowNexusError, InsufficientScopeError, MissingSettingError, UnauthorizedError
from flownexus.settings import optional_secret_lines, secret_lines
from flownexus.web.problem import Response, problem

HOOK: Final = "/hook/"
"""Where the next part of the path is a token, for senders that cannot set headers."""

PRINCIPAL: Final = "function_server.principal"
"""Where the template's server leaves whom the guard let in: a key of the WSGI environment or ASGI scope."""


class Scope(StrEnum):
    """What a caller may do; each route of a function declares the one that it asks for."""

    INGEST = "ingest"
    """Deliver what devices told."""
    DISPATCH = "dispatch"
    """Have operations sent."""
    HOUSEKEEP = "housekeep"
    """Have repairs done."""
    OPERATE = "operate"
    """Queue and cancel operations."""
    READ = "read"
    """See operations, and endpoints with their values."""
    ADMINISTER = "administer"
    """Change tokens, profiles, models, firmware packages."""
    BOOTSTRAP = "bootstrap"
    """Ask what devices are handed out, and tell what became of it."""


class UndeclaredScopeError(FlowNexusError):
    """A route of a function does not say which scope it asks for: the function does not start."""

    title = "Not configured"

    def __init__(self, path: str, methods: Iterable[str]) -> None:
        asked = sorted(set(methods) - {"HEAD", "OPTIONS"})  # those come by themselves
        super().__init__(f"the route {' '.join([*asked, path])} declares no scope")


@dataclass(frozen=True)
class Principal:
    """Who calls: a name that is told in rows and logs, and what they may do."""

    name: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise InsufficientScopeError where they may not."""
        if scope not in self.scopes:
            raise InsufficientScopeError(scope, self.name)


@dataclass(frozen=True)
class Credential:
    """A token, and whom it stands for."""

    token: str = field(repr=False)
    principal: Principal


class Issued(Protocol):
    """Tokens that are kept elsewhere, where looking one up may block."""

    def has_form(self, token: str) -> bool:
        """Say whether it looks like one of these tokens."""

    def principal(self, token: str) -> Principal:
        """Say whom a token stands for; raise UnauthorizedError where it stands for nobody."""


class Guard:
    """Knows the callers of a function by their tokens, compared in constant time."""

    def __init__(
        self,
        bearers: Iterable[Credential],
        hooks: Iterable[Credential] = (),
        issued: Issued | None = None,
    ) -> None:
        """Let in who has a token of `bearers` or `issued`, and below /hook/ one of `hooks` in the path."""
        self._bearers = tuple(bearers)
        self.hooks = tuple(hooks)
        self._issued = issued

    def with_issued(self, issued: Issued) -> Guard:
        """Return a guard that lets in who has a token of these, too."""
        return Guard(self._bearers, self.hooks, issued)

    @property
    def names(self) -> frozenset[str]:
        """Return the names of those whose tokens stand in a secret's file."""
        return frozenset(each.principal.name for each in (*self._bearers, *self.hooks))

    def principal(self, path: str, authorization: str | None) -> Principal:
        """Say who sends a request by its path and Authorization header; raise UnauthorizedError.

        May block.
        """
        if self.hooks and path.startswith(HOOK):
            return _known(path.removeprefix(HOOK).partition("/")[0], self.hooks)
        token = _bearer(authorization)
        if token is not None and self._issued is not None and self._issued.has_form(token):
            return self._issued.principal(token)
        return _known(token, self._bearers)

    def answer(
        self, path: str, headers: Mapping[str, str], scope: Scope | None
    ) -> tuple[Principal | None, Response | None]:
        """Say who sends a request, or how it is refused; `scope` is what its route asks for, if there is one.

        Neither, where looking the token up may block: principal() is to be asked then. The headers' names are
        in lower case.
        """
        if self._issued is not None and self._issued.has_form(_bearer(headers.get("authorization")) or ""):
            return None, None
        try:
            principal = self.principal(path, headers.get("authorization"))
            if scope is not None:
                principal.require(scope)
        except FlowNexusError as error:
            return None, problem(error)
        return principal, None


def _known(presented: str | None, credentials: tuple[Credential, ...]) -> Principal:
    given = (presented or "").encode("utf-8", "surrogateescape")
    # Each is compared, whichever fits: the time that it takes tells nothing.
    fitting = [each.principal for each in credentials if hmac.compare_digest(given, each.token.encode())]
    if not presented or not fitting:
        raise UnauthorizedError
    return fitting[0]


def _bearer(authorization: str | None) -> str | None:
    """Return the token of an Authorization header of the Bearer scheme (RFC 6750, 2.1)."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


# ---------------------------------------------------------------------------------------------------------
# The tokens of a secret's file

_CALLERS: Final = {
    "flownexus-webhook-token": Principal("webhook", frozenset({Scope.INGEST})),
    "flownexus-hook-token": Principal("hook", frozenset({Scope.INGEST})),
    "flownexus-connector-token": Principal("connector", frozenset({Scope.DISPATCH, Scope.HOUSEKEEP})),
    "flownexus-bootstrap-token": Principal("leshan", frozenset({Scope.BOOTSTRAP})),
    "flownexus-api-token": Principal("api", frozenset({Scope.ADMINISTER, Scope.OPERATE, Scope.READ})),
}
"""Whom a token of each secret stands for, unless its line says otherwise."""


def guard_from_secrets(*bearers: str, hooks: str | None = None) -> Guard:
    """Make a guard of the tokens in the secrets `bearers`, and in `hooks` where that is there.

    Raises MissingSettingError, which names the secret and the line, and no token.
    """
    of_hooks = _credentials(hooks, optional_secret_lines(hooks)) if hooks else ()
    return Guard([each for name in bearers for each in _credentials(name, secret_lines(name))], of_hooks)


def _credentials(secret: str, lines: Iterable[str]) -> list[Credential]:
    """Read lines of `<token> [<name> [<scope> ...]]`."""
    return [_credential(secret, number, *line.split()) for number, line in enumerate(lines, start=1)]


def _credential(secret: str, number: int, token: str, name: str = "", *scopes: str) -> Credential:
    widest = _CALLERS[secret]
    if unknown := set(scopes) - widest.scopes:
        raise MissingSettingError(
            f"secret {secret}: line {number} gives the scope {min(unknown)!r}, "
            f"and its callers have {' and '.join(sorted(widest.scopes))}"
        )
    principal = replace(widest, name=name or widest.name)
    return Credential(
        token, replace(principal, scopes=frozenset(map(Scope, scopes))) if scopes else principal
    )
