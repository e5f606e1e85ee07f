"""Errors with their HTTP status, and whether a retry can help."""

from __future__ import annotations

from typing import ClassVar


class FlowNexusError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    type: ClassVar[str] = "about:blank"
    """The problem type for programs (RFC 9457, 3.1.1): a URN of ours where one needs it."""
    retry_after: ClassVar[int | None] = None
    """Seconds after which the caller may retry; None if a retry cannot help."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or type(self).__doc__)

    @property
    def detail(self) -> str:
        """Return what was wrong, and what would be right."""
        return str(self)


class MissingSettingError(FlowNexusError):
    """A required setting or secret is missing."""

    title = "Not configured"


class BadRequestError(FlowNexusError):
    """The request is not one of the documented shapes."""

    status = 400
    title = "Bad request"


class UnreadableDeliveryError(BadRequestError):
    """The body has none of the shapes of a webhook; a retry is pointless.

    The type tells Leshan that the error comes from a webhook function and not from an intermediary. Only then
    does Leshan set an item aside.
    """

    type = "urn:flownexus:problem:unreadable-delivery"


class ValidationFailedError(FlowNexusError):
    """The request is well formed, but a field of it is not valid."""

    status = 422
    title = "Not valid"


class UnknownDataTypeError(ValidationFailedError):
    """The data type of the resource is unknown; send the value with its data type."""

    type = "urn:flownexus:problem:unknown-data-type"


class UnauthorizedError(FlowNexusError):
    """The bearer token is missing or wrong; send it as 'Authorization: Bearer <token>'."""

    status = 401
    title = "Unauthorized"


class InsufficientScopeError(FlowNexusError):
    """The caller is authenticated, but lacks the scope for this."""

    status = 403
    title = "Forbidden"

    def __init__(self, scope: str, name: str) -> None:
        super().__init__(f"{name!r} lacks the scope '{scope}'")
        self.scope = scope


class NotFoundError(FlowNexusError):
    """It does not exist."""

    status = 404
    title = "Not found"


class NotAcceptableError(FlowNexusError):
    """No answer is available in a format that the request accepts (RFC 9110, 15.5.7)."""

    status = 406
    title = "Not acceptable"


class ConflictError(FlowNexusError):
    """Its state does not allow this."""

    status = 409
    title = "Conflict"


class TooMuchError(FlowNexusError):
    """It is too much for one request; send it in smaller parts."""

    status = 413
    title = "Too much at once"


class TooManyError(FlowNexusError):
    """There are too many already; retry when some are gone."""

    status = 429
    title = "Too many"
    retry_after = 30


class TemporaryError(FlowNexusError):
    """A retry may succeed soon."""

    status = 503
    title = "Unavailable"
    retry_after = 1


class UnavailableError(TemporaryError):
    """A service that this function needs is unavailable; retry soon."""


class LockedError(TemporaryError):
    """Another transaction has locked the same rows for too long; retry soon."""


class StatementTimeoutError(TemporaryError):
    """PostgreSQL cancelled a statement that took too long; retry soon, or narrow the request."""

    title = "Took too long"
    type = "urn:flownexus:problem:statement-timeout"


class TooWideError(FlowNexusError):
    """PostgreSQL would take too long for this request; narrow the range."""

    status = 422
    title = "Too wide"
    type = "urn:flownexus:problem:too-wide"
