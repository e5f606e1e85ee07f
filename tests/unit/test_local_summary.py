"""What `make up` tells at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.layout import Layout
from local.options import PARTS, Options, Ports
from local.summary import needs_a_device, needs_an_address, no_address, of_refused, places, to_try

ALL = frozenset(PARTS)


def shown(tmp_path: Path, parts: frozenset[str], **options: object) -> str:
    layout = Layout(Options(home=tmp_path, ports=Ports(), parts=parts, **options))  # type: ignore[arg-type]
    return "\n".join(" ".join(row) for row in places(layout.environment(), parts, "admin", {}))


def test_all_parts_have_a_place(tmp_path: Path) -> None:
    text = shown(tmp_path, ALL)
    for place in ("http://127.0.0.1:8080", ":8090/api", "coap://", "coaps://", ":5433/", "nats://"):
        assert place in text


def test_with_tls_each_place_of_the_gateway_is_https_but_where_leshan_posts(tmp_path: Path) -> None:
    lines = shown(tmp_path, frozenset({"gateway"}), tls=True).splitlines()
    assert "https://localhost:8443/function/console" in lines[0]
    assert [line.split()[-2] for line in lines if "http://" in line] == [
        "http://127.0.0.1:8080/leshan_api/resource/single",
        "http://127.0.0.1:8080/leshan_api/resource/composite",
    ]


def test_devices_register_where_they_were_told(tmp_path: Path) -> None:
    values = Layout(Options(home=tmp_path, bootstrap=True)).environment()
    rows = places(values, frozenset({"leshan"}), "admin", {"COAPS_URL": "coaps://192.0.2.10:5684"})
    shown = [row[:2] for row in rows]
    assert ("devices register at", "coaps://192.0.2.10:5684") in shown
    assert ("", "coap://192.0.2.10:5683") in shown
    assert ("devices bootstrap at", "coaps://192.0.2.10:5784") in shown


def test_whoever_looks_for_a_key_is_told_the_command_that_makes_one(tmp_path: Path) -> None:
    assert "flownexus credentials add" in shown(tmp_path, frozenset({"leshan"}))


@pytest.mark.parametrize(
    ("chosen", "needed"),
    [
        ({}, False),
        ({"COAP_HOST": "192.0.2.10"}, False),
        ({"COAP_HOST": "0.0.0.0"}, True),
        ({"COAP_HOST": "::"}, True),
        ({"COAP_HOST": "0.0.0.0", "COAPS_URL": "coaps://192.0.2.10:5684"}, False),
    ],
)
def test_who_listens_on_each_address_is_told_to_name_one(
    tmp_path: Path, chosen: dict[str, str], needed: bool
) -> None:
    assert needs_an_address(chosen) == needed
    assert "COAPS_URL=coaps://<address>:5684" in no_address(Layout(Options(home=tmp_path)).environment())


def test_refused_devices_are_told_with_both_remedies() -> None:
    text = of_refused(["sim-0001", "sim-0002", "sim-0003"], "flownexus", "make up DEVICES=0")
    assert text.startswith("Leshan refuses sim-0001 and 2 more simulated devices: ")
    assert "flownexus credentials unenrolled admitted" in text
    assert "make up DEVICES=0" in text
    assert of_refused(["sim-0001"], "flownexus", "make").startswith("Leshan refuses sim-0001: ")


@pytest.mark.parametrize(
    ("part", "absent"),
    [
        ("gateway", ["8080", "basic-auth-password", "flownexus-api-token", "flownexus-webhook-token"]),
        ("leshan", ["8090", "coap", "flownexus-leshan-token"]),
        ("postgres", ["5433", "PostgreSQL"]),
        ("nats", ["4222", "NATS"]),
        ("simulator", ["coap:"]),
    ],
)
def test_a_part_that_does_not_run_has_no_row(tmp_path: Path, part: str, absent: list[str]) -> None:
    text = shown(tmp_path, ALL - {part})
    assert not [word for word in absent if word in text]


def test_no_place_shows_a_password(tmp_path: Path) -> None:
    text = shown(tmp_path, ALL, database_url="postgresql://a:secret@db/x", nats_url="nats://a:secret@n")
    assert "//db/x" in text
    assert "//n" in text
    assert "secret@" not in text


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (set(), ["endpoints", "values", "write"]),
        ({"connector"}, ["endpoints", "values"]),
        ({"simulator"}, ["endpoints"]),
        ({"leshan", "simulator"}, ["endpoints"]),
        ({"gateway"}, []),
    ],
)
def test_only_commands_that_work_are_to_be_tried(without: set[str], words: list[str]) -> None:
    assert [command.split()[0] for command in to_try(ALL - without)] == words


def test_who_has_no_device_is_told() -> None:
    assert needs_a_device(ALL - {"simulator"})
    assert not needs_a_device(ALL)
    assert not needs_a_device(frozenset({"postgres"}))
