"""The ids of endpoints and resource types, which appear on first sight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from psycopg import Connection

from flownexus.lwm2m.value import DataType
from flownexus.store import queries, send_for

TypeKey: TypeAlias = tuple[int, int]
"""(object id, resource id)"""


class ResourceType(NamedTuple):
    """What is known of a resource of an object: its id, and its data type, which holds if a model has it."""

    id: int
    data_type: DataType
    by_model: bool

    def gives_way_to(self, data_type: DataType) -> bool:
        """Say whether this type is OPAQUE for want of a better one, which `data_type` is."""
        return self.data_type is DataType.OPAQUE and not self.by_model and data_type is not DataType.OPAQUE


class _ResourceTypeRow(NamedTuple):
    object_id: int
    resource_id: int
    id: int
    data_type: str
    by_model: bool


class Catalog:
    """Ids known to this process.

    What a transaction looks up or adds is remembered only once `keep` says that it was committed: an id of a
    transaction that was rolled back must not be used again.
    """

    def __init__(self) -> None:
        self._endpoints: dict[str, int] = {}
        self._resource_types: dict[TypeKey, ResourceType] = {}

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
    ) -> dict[TypeKey, ResourceType]:
        """Return each resource type, adding those never seen; without a model they have the type given."""
        types = {key: self._resource_types[key] for key in wanted if key in self._resource_types}

        def lacking(keys: Iterable[TypeKey]) -> list[TypeKey]:
            return [key for key in keys if key not in types or types[key].gives_way_to(wanted[key])]

        if missing := lacking(wanted):
            types.update(_find_resource_types(connection, missing))
        if missing := lacking(missing):
            object_ids, resource_ids = zip(*missing, strict=True)
            queries.add_resource_types(
                connection,
                object_ids=list(object_ids),
                resource_ids=list(resource_ids),
                data_types=[str(wanted[key]) for key in missing],
            )
            types.update(_find_resource_types(connection, missing))
        return types

    def keep(self, endpoints: Mapping[str, int], resource_types: Mapping[TypeKey, ResourceType]) -> None:
        """Remember what is of a transaction that was committed."""
        self._endpoints.update(endpoints)
        self._resource_types.update(resource_types)


def _find_resource_types(connection: Connection, keys: Iterable[TypeKey]) -> dict[TypeKey, ResourceType]:
    object_ids, resource_ids = zip(*keys, strict=True)
    rows = send_for(
        _ResourceTypeRow,
        connection,
        queries.resource_types,
        object_ids=list(object_ids),
        resource_ids=list(resource_ids),
    )
    return {
        (row.object_id, row.resource_id): ResourceType(row.id, DataType(row.data_type), row.by_model)
        for row in rows
    }
