"""Object models by version: OMA's registry, and those that users add and remove."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError, ValidationFailedError
from flownexus.lwm2m.model import ObjectModel
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.lwm2m.value_range import parse_range
from flownexus.operations.known_resource import KnownResource, KnownResources, ModelOfResource
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction

OWN_OBJECT: Final = 10240
"""The object of this system's registration events."""


class Model(NamedTuple):
    """A version of an object; `added_by` is null of OMA's registry."""

    object_id: int
    version: str
    name: str
    multiple: bool
    added_by: str | None
    added_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "added_at": self.added_at.isoformat()}


class Resource(NamedTuple):
    """What a version of an object says of one of its resources."""

    id: int
    name: str
    operations: str
    multiple: bool
    mandatory: bool
    data_type: str | None
    range: str | None
    units: str | None


class _KnownRow(NamedTuple):
    object_id: int
    resource_id: int
    data_type: str | None
    version: str | None
    name: str | None
    operations: str | None
    range: str | None


class _UsersRow(NamedTuple):
    object_id: int
    version: str
    object_name: str
    object_multiple: bool
    resource_id: int | None
    name: str
    operations: str
    multiple: bool
    mandatory: bool
    data_type: str | None
    units: str | None


def known_resources(
    connection: Connection, endpoint: str | None, resources: Iterable[Path]
) -> KnownResources:
    """Return what is known of these resources, by the versions of objects that the endpoint has.

    Without an endpoint, the newest version counts. `resources` are paths of three or four ids.
    """
    wanted = sorted({(path.object_id, path.resource_id) for path in resources})
    if not wanted:
        return {}
    object_ids, resource_ids = map(list, zip(*wanted, strict=True))
    rows = send_for(
        _KnownRow,
        connection,
        queries.known_resources,
        endpoint=endpoint,
        object_ids=object_ids,
        resource_ids=resource_ids,
    )
    return {(row.object_id, row.resource_id): _known(row) for row in rows}


def _known(row: _KnownRow) -> KnownResource:
    data_type = None if row.data_type is None else DataType(row.data_type)
    if row.version is None or row.name is None or row.operations is None:
        return KnownResource(data_type)
    return KnownResource(
        data_type, ModelOfResource(row.version, row.name, row.operations, parse_range(row.range))
    )


def add_models(
    pool: ConnectionPool, models: Sequence[ObjectModel], xml: str, added_by: str, *, replace: bool
) -> list[Model]:
    """Add the objects of a file, all or none, for the caller `added_by`.

    Raises ConflictError where a version of them is OMA's, or is there and is not to be replaced, and
    ValidationFailedError where the object is this system's own.
    """

    def work(current: Transaction) -> list[Model]:
        return [_add(current.connection, model, xml, added_by, replace=replace) for model in models]

    return transaction(pool, work)


def _add(connection: Connection, model: ObjectModel, xml: str, added_by: str, *, replace: bool) -> Model:
    if model.object_id == OWN_OBJECT:
        raise ValidationFailedError(
            f"object {OWN_OBJECT} is that of registration events here; give yours another ObjectID"
        )
    key = {"object_id": model.object_id, "version": model.version}
    changed = {resource.id for resource in model.resources}
    if replace:
        changed |= {row.id for row in _resources(connection, model.object_id, model.version)}
        queries.remove_object_model(connection, **key)
    if not queries.add_object_model(
        connection, **key, name=model.name, multiple=model.multiple, xml=xml, added_by=added_by
    ):
        there = _find(connection, model.object_id, model.version)
        named = f"version {model.version} of object {model.object_id} ({there.name})"
        if there.added_by is None:
            raise ConflictError(f"{named} is in OMA's registry; give yours another ObjectVersion")
        raise ConflictError(f"{named} is there; replace or remove it, or give yours another ObjectVersion")
    resources = model.resources
    queries.add_object_model_resources(
        connection,
        **key,
        resource_ids=[resource.id for resource in resources],
        names=[resource.name for resource in resources],
        operations=[resource.operations for resource in resources],
        multiple=[resource.multiple for resource in resources],
        mandatory=[resource.mandatory for resource in resources],
        data_types=[None if each.data_type is None else str(each.data_type) for each in resources],
        ranges=[resource.range for resource in resources],
        units=[resource.units for resource in resources],
    )
    _refresh(connection, model.object_id, changed)
    note(connection, added_by, "model-added", object=model.object_id, version=model.version)
    return _find(connection, model.object_id, model.version)


def remove_model(pool: ConnectionPool, object_id: int, version: str, by: str) -> Model:
    """Remove a version of an object that a user has added; values of it stay as they are.

    Raises NotFoundError where there is none, and ConflictError where it is OMA's.
    """

    def work(current: Transaction) -> Model:
        found = _find(current.connection, object_id, version)
        changed = {row.id for row in _resources(current.connection, object_id, version)}
        if not queries.remove_object_model(current.connection, object_id=object_id, version=version):
            raise ConflictError(f"version {version} of object {object_id} is in OMA's registry, and stays")
        _refresh(current.connection, object_id, changed)
        note(current.connection, by, "model-removed", object=object_id, version=version)
        return found

    return transaction(pool, work)


def _refresh(connection: Connection, object_id: int, resource_ids: Iterable[int]) -> None:
    queries.refresh_resource_models(connection, object_id=object_id, resource_ids=sorted(resource_ids))


def show_model(pool: ConnectionPool, object_id: int, version: str) -> dict[str, Any]:
    """Return a version of an object as the REST API shows it, with its resources, and the file of a user's.

    Raises NotFoundError where there is none.
    """

    def work(current: Transaction) -> dict[str, Any]:
        connection = current.connection
        queries.only_read(connection)
        return {
            **_find(connection, object_id, version).as_json(),
            "resources": [row._asdict() for row in _resources(connection, object_id, version)],
            "xml": queries.object_model_xml(connection, object_id=object_id, version=version),
        }

    return transaction(pool, work)


def list_models(
    pool: ConnectionPool,
    object_id: int | None,
    after: tuple[int, str] | None,
    limit: int,
    *,
    added_only: bool,
) -> list[Model]:
    """Return up to `limit` versions by object and version, those after `after`."""
    after_object_id, after_version = after or (None, None)

    def work(current: Transaction) -> list[Model]:
        queries.only_read(current.connection)
        return send_for(
            Model,
            current.connection,
            queries.object_models,
            object_id=object_id,
            added_only=added_only,
            after_object_id=after_object_id,
            after_version=after_version,
            limit=limit,
        ).fetchall()

    return transaction(pool, work)


def _find(connection: Connection, object_id: int, version: str) -> Model:
    found = send_for(Model, connection, queries.object_model, object_id=object_id, version=version).fetchone()
    if found is None:
        raise NotFoundError(f"there is no model of object {object_id} in version {version}")
    return found


def _resources(connection: Connection, object_id: int, version: str) -> list[Resource]:
    return send_for(
        Resource, connection, queries.object_model_resources, object_id=object_id, version=version
    ).fetchall()


def users_models(pool: ConnectionPool) -> list[dict[str, Any]]:
    """Return the objects that users have added, as Leshan loads them."""

    def work(current: Transaction) -> list[_UsersRow]:
        queries.only_read(current.connection)
        return send_for(_UsersRow, current.connection, queries.users_models).fetchall()

    models: dict[tuple[int, str], dict[str, Any]] = {}
    for row in transaction(pool, work):
        model = models.setdefault(
            (row.object_id, row.version),
            {
                "id": row.object_id,
                "version": row.version,
                "name": row.object_name,
                "multiple": row.object_multiple,
                "resources": [],
            },
        )
        if row.resource_id is not None:
            model["resources"].append(
                {
                    "id": row.resource_id,
                    "name": row.name,
                    "operations": row.operations,
                    "multiple": row.multiple,
                    "mandatory": row.mandatory,
                    "type": row.data_type,
                    "units": row.units,
                }
            )
    return list(models.values())
