"""Tags of endpoints, and how many endpoints fit a filter."""

from __future__ import annotations

from typing import Final, NamedTuple

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.operations.filter import Filter
from flownexus.store import queries
from flownexus.store.transaction import Transaction, narrow_transaction, transaction

MAX_TAGS: Final = 50  # of an endpoint
MAX_EXAMPLES: Final = 3


class Matching(NamedTuple):
    """How many endpoints fit a filter, and the names of the first by name."""

    total: int
    examples: list[str]


def count_matching(pool: ConnectionPool, filter_: Filter) -> Matching:
    """Count the endpoints that fit; raise TooWideError where that takes PostgreSQL too long."""

    def work(current: Transaction) -> Matching:
        queries.only_read_by_filter(current.connection)
        row = queries.matching_endpoints(
            current.connection, filter=Jsonb(filter_.as_json()), examples=MAX_EXAMPLES
        )
        return Matching(*row)

    return narrow_transaction(pool, work, "look for these; give the endpoints a tag")


def tags_of(pool: ConnectionPool, endpoint: str) -> dict[str, str]:
    """Return the tags of an endpoint; raise NotFoundError where it was never seen."""
    return transaction(pool, lambda current: _tags(current, endpoint))


def set_tag(pool: ConnectionPool, endpoint: str, key: str, value: str, set_by: str) -> dict[str, str]:
    """Set a tag and return all tags of the endpoint.

    Raises NotFoundError where it was never seen, and ValidationFailedError where it has too many.
    """

    def work(current: Transaction) -> dict[str, str]:
        added = queries.set_tag(
            current.connection, endpoint=endpoint, key=key, value=value, set_by=set_by, max_tags=MAX_TAGS
        )
        tags = _tags(current, endpoint)
        queries.look_at_endpoint(current.connection, endpoint=endpoint)  # another profile may apply to it now
        if not added:
            raise ValidationFailedError(f"{endpoint!r} has {MAX_TAGS} tags, and no more may; remove one")
        return tags

    return transaction(pool, work)


def remove_tag(pool: ConnectionPool, endpoint: str, key: str) -> dict[str, str]:
    """Remove a tag and return the others; raise NotFoundError where there is none."""

    def work(current: Transaction) -> dict[str, str]:
        removed = queries.remove_tag(current.connection, endpoint=endpoint, key=key)
        tags = _tags(current, endpoint)
        queries.look_at_endpoint(current.connection, endpoint=endpoint)
        if not removed:
            raise NotFoundError(f"{endpoint!r} has no tag {key!r}")
        return tags

    return transaction(pool, work)


def _tags(current: Transaction, endpoint: str) -> dict[str, str]:
    row = queries.tags(current.connection, endpoint=endpoint)
    if row is None:
        raise NotFoundError(f"no endpoint {endpoint!r} has been seen")
    tags: dict[str, str] = row[0]
    return tags
