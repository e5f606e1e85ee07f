"""Errors that carry their policy: the HTTP status they become and whether trying again can help."""

from __future__ import annotations

from typing import ClassVar


class FlowNexusError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    type: ClassVar[str] = "about:blank"
    """What programs may go by (RFC 9457, 3.1.1): a URN of ours where one does."""
    retry_after: ClassVar[int | None] = None
    """Seconds after which the caller may try the same again; None where that cannot help."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or type(self).__doc__)

    @property
    def detail(self) -> str:
        """Say what was wrong, and what would be right."""
        return str(self)


class MissingSettingError(FlowNexusError):
    """A setting or secret that must be there is not."""

    title = "Not configured"


class BadRequestError(FlowNexusError):
    """The request is not one of the documented shapes."""

    status = 400
    title = "Bad request"


class UnreadableDeliveryError(BadRequestError):
    """The body is none of the shapes of a webhook, and never will be.

    By its type Leshan knows that a webhook function says so, rather than something on the way: only then
    does it set an item aside.
    """

    type = "urn:flownexus:problem:unreadable-delivery"


class ValidationFailedError(FlowNexusError):
    """The request is well formed, but a field of it is not valid."""

    status = 422
    title = "Not valid"


class UnknownDataTypeError(ValidationFailedError):
    """A value came without its data type, and nobody knows that of the resource; send it with one."""

    type = "urn:flownexus:problem:unknown-data-type"


class UnauthorizedError(FlowNexusError):
    """The bearer token is missing or wrong; send it as 'Authorization: Bearer <token>'."""

    status = 401
    title = "Unauthorized"


class InsufficientScopeError(FlowNexusError):
    """The caller is known, but may not do this."""

    status = 403
    title = "Forbidden"

    def __init__(self, scope: str, name: str) -> None:
        super().__init__(f"{name!r} lacks the scope '{scope}'")
        self.scope = scope


class NotFoundError(FlowNexusError):
    """There is no such thing."""

    status = 404
    title = "Not found"


class NotAcceptableError(FlowNexusError):
    """There is no answer in any of the formats that the request accepts (RFC 9110, 15.5.7)."""

    status = 406
    title = "Not acceptable"


class ConflictError(FlowNexusError):
    """The thing is in a state that does not allow this."""

    status = 409
    title = "Conflict"


class TooMuchError(FlowNexusError):
    """It is too much for one request; send it in smaller parts."""

    status = 413
    title = "Too much at once"


class TooManyError(FlowNexusError):
    """There are too many already; try again when some are gone."""

    status = 429
    title = "Too many"
    retry_after = 30


class TemporaryError(FlowNexusError):
    """It may go well when it is tried again soon."""

    status = 503
    title = "Unavailable"
    retry_after = 1


class UnavailableError(TemporaryError):
    """A part this function needs is away; try again soon."""


class LockedError(TemporaryError):
    """Another writer holds the same rows for long; try again soon."""


class StatementTimeoutError(TemporaryError):
    """PostgreSQL is there, but cancelled a statement that took too long; try again soon, or ask for less."""

    title = "Took too long"
    type = "urn:flownexus:problem:statement-timeout"


class TooWideError(FlowNexusError):
    """It takes PostgreSQL too long to look for this; ask for less: narrow the range."""

    status = 422
    title = "Too wide"
    type = "urn:flownexus:problem:too-wide"
