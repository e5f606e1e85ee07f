"""Object models that users add and remove at run time, in a real PostgreSQL."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from flownexus.errors import ConflictError, NotFoundError, ValidationFailedError
from flownexus.leshan.webhook import Kind
from flownexus.lwm2m.model import parse_models
from flownexus.lwm2m.value import DataType
from flownexus.operations.new_operation import parse_operation
from flownexus.store.model import add_models, list_models, remove_model, show_model
from flownexus.store.operation_requests import create
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.world import World

OBJECT = 33456


def xml(version: str, *items: tuple[int, str, str, str, str], object_id: int = OBJECT) -> str:
    """Return a file: of each resource its id, name, operations, type and range."""
    resources = "".join(
        f"<Item ID='{id_}'><Name>{name}</Name><Operations>{operations}</Operations><Type>{type_}</Type>"
        f"<RangeEnumeration>{range_}</RangeEnumeration><Units>Cel</Units></Item>"
        for id_, name, operations, type_, range_ in items
    )
    return (
        f"<LWM2M><Object><Name>Kiln</Name><ObjectID>{object_id}</ObjectID>"
        f"<ObjectVersion>{version}</ObjectVersion><MultipleInstances>Multiple</MultipleInstances>"
        f"<Resources>{resources}</Resources></Object></LWM2M>"
    )


OLD = xml("1.0", (0, "Heat", "RW", "Integer", "0..1000"), (1, "Quench", "E", "", ""))
NEW = xml("1.1", (0, "Heat now", "R", "Float", ""), (2, "Wood", "RW", "String", "1..8 bytes"))


def add(world: World, text: str, *, replace: bool = False) -> None:
    add_models(world.api_pool, parse_models(text.encode()), text, "ann", replace=replace)


def model_of(world: World, resource_id: int) -> dict[str, Any] | None:
    found = world.execute(
        "SELECT data_type, name, units FROM resource_model WHERE object_id = %s AND resource_id = %s",
        OBJECT, resource_id,
    )  # fmt: skip
    return found[0] if found else None


@pytest.fixture
def client(world: World) -> FlaskClient:
    app = create_app(
        Kind.REGISTRATION, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("hook")
    )
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer hook"
    return client


@pytest.fixture
def singles(world: World) -> FlaskClient:
    """One replica of ingest-single, which remembers resource types."""
    app = create_app(Kind.SINGLE, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("hook"))
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer hook"
    return client


def tell(singles: FlaskClient, data_type: str, value: str, endpoint: str = "sim-0001") -> dict[str, Any]:
    node = {"kind": "singleResource", "id": 0, "type": data_type, "value": value}
    body = [{"ep": endpoint, "obj_id": OBJECT, "val": node}]
    answer = singles.post("/", data=json.dumps(body).encode())
    found: dict[str, Any] = answer.get_json()
    return found


def write(world: World, value: Any, *, resource: int = 0, operation: str = "write") -> Any:
    more = {} if operation != "write" else {"value": value}
    path = f"/{OBJECT}/0/{resource}"
    asked = {"endpoint": "sim-0001", "operation": operation, "path": path, **more}
    return create(world.api_pool, parse_operation(asked), "test").value


def registered_with(world: World, version: str) -> None:
    world.execute(
        "UPDATE endpoint SET objects = '{/33456/0}', object_versions = jsonb_build_object('33456', %s::text)",
        version,
    )


def test_versions_whose_types_differ_stand_side_by_side(world: World, singles: FlaskClient) -> None:
    add(world, OLD)
    assert tell(singles, "INTEGER", "700")["stored"] == 1
    assert tell(singles, "FLOAT", "700.5")["rejected"] != []  # no device has a version with floats yet
    add(world, NEW)
    assert tell(singles, "INTEGER", "701")["rejected"] == []
    assert tell(singles, "FLOAT", "701.5", "sim-0002")["rejected"] == []
    assert tell(singles, "FLOAT", "702.5")["rejected"] == []  # the same device with new firmware
    found = world.execute("SELECT endpoint, number FROM telemetry ORDER BY stored_at")
    assert [(row["endpoint"], row["number"]) for row in found] == [
        ("sim-0001", 700), ("sim-0001", 701), ("sim-0002", 701.5), ("sim-0001", 702.5),
    ]  # fmt: skip
    assert model_of(world, 0) == {"data_type": None, "name": "Heat now", "units": "Cel"}
    [seen] = world.execute("SELECT name, units FROM resource_type WHERE object_id = %s", OBJECT)
    assert seen == {"name": "Heat now", "units": "Cel"}


def test_an_operation_goes_by_the_version_that_its_device_has(world: World) -> None:
    world.endpoint()
    add(world, OLD)
    add(world, NEW)
    registered_with(world, "1.0")
    assert write(world, 20) == {"type": "INTEGER", "value": "20"}
    with pytest.raises(ValidationFailedError, match=r"1001 is out of range: 0\.\.1000"):
        write(world, 1001)
    registered_with(world, "1.1")
    with pytest.raises(ValidationFailedError, match=r"Heat now.*version 1.1, it is only read"):
        write(world, 20)
    # What the version lacks is that of the newest that has it.
    with pytest.raises(ValidationFailedError, match=r"Quench.*version 1.0, it is only executed"):
        write(world, None, resource=1, operation="read")
    assert write(world, "birch", resource=2) == {"type": "STRING", "value": "birch"}
    with pytest.raises(ValidationFailedError, match=r"it has 9 bytes: 1\.\.8 bytes"):
        write(world, "birchwood", resource=2)


def test_without_a_registration_the_newest_version_counts(world: World) -> None:
    world.endpoint()
    add(world, OLD)
    add(world, NEW)
    with pytest.raises(ValidationFailedError, match=r"version 1.1, it is only read"):
        write(world, 20)
    world.execute("UPDATE endpoint SET objects = '{/33456/0}'")  # a version that is not told is 1.0
    assert write(world, 20) == {"type": "INTEGER", "value": "20"}


def test_a_function_that_knows_a_resource_learns_that_its_model_has_changed(
    world: World, singles: FlaskClient
) -> None:
    add(world, OLD)
    assert tell(singles, "INTEGER", "700")["stored"] == 1
    add(world, OLD.replace("Integer", "Float"), replace=True)
    assert tell(singles, "INTEGER", "700")["stored"] == 1
    assert [row["float_value"] for row in world.execute("SELECT * FROM resource ORDER BY stored_at")] == [
        None, 700.0,
    ]  # fmt: skip


def test_a_version_that_is_there_is_replaced_only_when_that_is_asked(world: World) -> None:
    add(world, OLD)
    with pytest.raises(ConflictError, match=r"version 1.0 of object 33456 \(Kiln\) is there; replace or"):
        add(world, OLD)
    add(world, OLD.replace("Heat", "Warmth"), replace=True)
    assert model_of(world, 0) == {"data_type": "INTEGER", "name": "Warmth", "units": "Cel"}


def test_a_removed_version_says_nothing_any_more(world: World, singles: FlaskClient) -> None:
    world.endpoint()
    add(world, OLD)
    add(world, NEW)
    tell(singles, "INTEGER", "700")
    removed = remove_model(world.api_pool, OBJECT, "1.1", "ann")
    assert (removed.name, removed.added_by) == ("Kiln", "ann")
    assert model_of(world, 0) == {"data_type": "INTEGER", "name": "Heat", "units": "Cel"}
    assert model_of(world, 2) is None
    remove_model(world.api_pool, OBJECT, "1.0", "ann")
    assert model_of(world, 0) is None
    [seen] = world.execute("SELECT name, data_type FROM resource_type WHERE object_id = %s", OBJECT)
    assert seen == {"name": None, "data_type": "INTEGER"}
    with pytest.raises(NotFoundError, match=r"no model of object 33456 in version 1.0"):
        remove_model(world.api_pool, OBJECT, "1.0", "ann")


def test_oma_s_models_stay_and_a_new_version_may_stand_beside_them(world: World) -> None:
    of_oma = xml("1.1", (5700, "Mine", "R", "String", ""), object_id=3303)
    for replace in (False, True):
        with pytest.raises(ConflictError, match=r"version 1.1 of object 3303 \(Temperature\) is in OMA's"):
            add(world, of_oma, replace=replace)
    with pytest.raises(ConflictError, match="is in OMA's registry, and stays"):
        remove_model(world.api_pool, 3303, "1.1", "ann")
    with pytest.raises(ValidationFailedError, match="object 10240 is that of registration events here"):
        add(world, xml("1.0", (0, "Mine", "R", "Time", ""), object_id=10240))
    add(world, of_oma.replace("1.1", "7.0"))
    names = [
        (row.version, row.added_by) for row in list_models(world.api_pool, 3303, None, 9, added_only=False)
    ]
    assert names == [("1.0", None), ("1.1", None), ("7.0", "ann")]
    assert show_model(world.api_pool, 3303, "7.0")["resources"][0]["data_type"] == "STRING"
    sensor = next(r for r in show_model(world.api_pool, 3303, "1.1")["resources"] if r["id"] == 5700)
    assert sensor["data_type"] == str(DataType.FLOAT)


def test_all_objects_of_a_file_are_added_or_none(world: World) -> None:
    add(world, OLD)
    both = NEW.replace("</LWM2M>", OLD.removeprefix("<LWM2M>"))
    with pytest.raises(ConflictError):
        add(world, both)
    assert [row.version for row in list_models(world.api_pool, OBJECT, None, 9, added_only=True)] == ["1.0"]


def test_leshan_is_told_what_users_have_added_and_that_it_knows_it_already(
    world: World, client: FlaskClient
) -> None:
    nothing = client.get("/models")
    assert nothing.get_json() == {"models": []}
    add(world, OLD)
    told = client.get("/models", headers={"If-None-Match": nothing.headers["ETag"]})
    assert told.get_json() == {
        "models": [
            {
                "id": OBJECT,
                "version": "1.0",
                "name": "Kiln",
                "multiple": True,
                "resources": [
                    {
                        "id": 0,
                        "name": "Heat",
                        "operations": "RW",
                        "multiple": False,
                        "mandatory": False,
                        "type": "INTEGER",
                        "units": "Cel",
                    },
                    {
                        "id": 1,
                        "name": "Quench",
                        "operations": "E",
                        "multiple": False,
                        "mandatory": False,
                        "type": None,
                        "units": "Cel",
                    },
                ],
            }
        ]
    }
    again = client.get("/models", headers={"If-None-Match": told.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_registration_tells_the_versions_of_its_objects(world: World, client: FlaskClient) -> None:
    node = {"kind": "singleResource", "id": 0, "type": "TIME", "value": 1_790_000_000_000}
    links = [
        {"url": "/33456", "attributes": {"ver": "1.1"}},
        {"url": "/33456/0", "attributes": {}},
        {"url": "/3/0", "attributes": {}},
    ]
    body = {"ep": "sim-0001", "obj_id": 10240, "val": node, "reg": {"id": "a", "links": links}}
    assert client.post("/", data=json.dumps(body).encode()).status_code == 200
    [row] = world.execute("SELECT object_versions FROM endpoint")
    assert row["object_versions"] == {"33456": "1.1"}
    updated = body | {"val": node | {"id": 2}, "reg": {"id": "a", "lifetime": 60}}
    assert client.post("/", data=json.dumps(updated).encode()).status_code == 200
    [row] = world.execute("SELECT object_versions FROM endpoint")
    assert row["object_versions"] == {"33456": "1.1"}
