"""The ids of endpoints and resource types, which appear on first sight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from psycopg import Connection

from flownexus.lwm2m.value import DataType
from flownexus.store import queries

TypeKey: TypeAlias = tuple[int, int]
"""(object id, resource id)"""


class Catalog:
    """Ids known to this process.

    What a transaction looks up or adds is remembered only once `keep` says that it was committed: an id of a
    transaction that was rolled back must not be used again.
    """

    def __init__(self) -> None:
        self._endpoints: dict[str, int] = {}
        self._resource_types: dict[TypeKey, int] = {}

    def endpoints(self, connection: Connection, names: Iterable[str]) -> dict[str, int]:
        """Return the id of each endpoint name, adding those never seen."""
        wanted = set(names)
        ids = {name: self._endpoints[name] for name in wanted if name in self._endpoints}
        if missing := sorted(wanted - ids.keys()):
            ids.update(queries.endpoint_ids(connection, names=missing))
        if missing := [name for name in missing if name not in ids]:
            queries.add_endpoints(connection, names=missing)
            ids.update(queries.endpoint_ids(connection, names=missing))
        return ids

    def resource_types(
        self, connection: Connection, wanted: Mapping[TypeKey, DataType]
    ) -> dict[TypeKey, int]:
        """Return the id of each resource type, adding those never seen with the data type given."""
        ids = {key: self._resource_types[key] for key in wanted if key in self._resource_types}
        if missing := sorted(wanted.keys() - ids.keys()):
            ids.update(_find_resource_types(connection, missing))
        if missing := [key for key in missing if key not in ids]:
            object_ids, resource_ids = zip(*missing, strict=True)
            queries.add_resource_types(
                connection,
                object_ids=list(object_ids),
                resource_ids=list(resource_ids),
                data_types=[str(wanted[key]) for key in missing],
            )
            ids.update(_find_resource_types(connection, missing))
        return ids

    def keep(self, endpoints: Mapping[str, int], resource_types: Mapping[TypeKey, int]) -> None:
        """Remember ids of a transaction that was committed."""
        self._endpoints.update(endpoints)
        self._resource_types.update(resource_types)


def _find_resource_types(connection: Connection, keys: Iterable[TypeKey]) -> dict[TypeKey, int]:
    object_ids, resource_ids = zip(*keys, strict=True)
    rows = queries.resource_type_ids(connection, object_ids=list(object_ids), resource_ids=list(resource_ids))
    return {(object_id, resource_id): id_ for object_id, resource_id, id_ in rows}
