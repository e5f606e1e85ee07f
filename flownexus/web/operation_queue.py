"""Operations that callers queue and cancel, by whichever route: stored, logged, hinted to who sends them."""

from __future__ import annotations

import logging
from typing import Final

from flownexus.errors import MissingSettingError
from flownexus.logs import correlated, current_id, operation_id
from flownexus.messaging.publisher import PUBLISH_TIMEOUT_S, Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.new_operation import NewOperation
from flownexus.settings import integer_setting
from flownexus.store.operation_requests import (
    MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
    Operation,
    cancel,
    create,
)
from flownexus.store.pool import Pool
from flownexus.web.flask import caller

log = logging.getLogger(__name__)

OPERATIONS_URL: Final = "/function/operations"
"""Where the gateway has operations: what their Locations begin with."""


def max_queued_setting() -> int:
    """Read how many operations of users may wait for one endpoint; raise MissingSettingError."""
    most = integer_setting("max_queued_operations", MAX_QUEUED_OPERATIONS_PER_ENDPOINT)
    if most < 1:
        raise MissingSettingError("environment variable max_queued_operations: at least 1")
    return most


class OperationQueue:
    """Queues operations for the caller of the request at hand; at most `max_queued` wait for an endpoint."""

    def __init__(
        self, pool: Pool, publisher: Publisher, max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._max_queued = max_queued

    def add(self, new: NewOperation, key: str | None = None) -> Operation:
        """Queue an operation; `key` is the request's Idempotency-Key. Raises what create() raises."""
        operation = create(self._pool, new, caller().name, key, self._max_queued)
        request_id = current_id()
        with correlated(operation_id(operation.id)):
            log.info(
                "%s queued",
                operation.operation,
                extra={"endpoint": operation.endpoint, "request": request_id},
            )
        self._hint(operation.endpoint)
        return operation

    def cancel(self, id_: int) -> Operation:
        """Cancel an operation; raises what it raises in the store."""
        operation = cancel(self._pool, id_)
        self._hint(operation.endpoint)  # those behind it need not wait any more for what it waited for
        return operation

    def _hint(self, endpoint: str) -> None:
        self._publisher.publish([Hint(HintKind.QUEUED, endpoint)], PUBLISH_TIMEOUT_S)


def location(operation: Operation) -> str:
    """Return the Location of an operation, as the gateway has it."""
    return f"{OPERATIONS_URL}/{operation.id}"
