from tools.models import migration

NOTICE = """<!-- BSD-3 Clause License
Copyright 2019 {holder}.
Redistribution and use in source and binary forms, with or without
  modification. POSSIBILITY OF SUCH DAMAGE.
-->"""


def model(object_id: int, version: str, *resources: tuple[int, str, str], holder: str = "OMA") -> str:
    items = "".join(
        f"<Item ID='{id_}'><Name>{name}</Name><Type>{type_}</Type><Units> Cel </Units></Item>"
        for id_, name, type_ in resources
    )
    return (
        (NOTICE.format(holder=holder) if holder else "") + f"<LWM2M><Object><ObjectID>{object_id}</ObjectID>"
        f"<ObjectVersion>{version}</ObjectVersion><Resources>{items}</Resources></Object></LWM2M>"
    )


def rows(*files: str) -> list[str]:
    return [line for line in migration(files).splitlines() if line.startswith("    (")]


def test_a_migration_has_the_newest_version_of_each_resource_with_a_type() -> None:
    assert rows(
        model(9, "1.10", (1, "It's new", "Unsigned Integer")),
        model(9, "1.9", (1, "Old", "Unsigned Integer"), (2, "Gone", "Corelnk"), (3, "Reset", "")),
    ) == [
        "    (9, 1, 'UNSIGNED_INTEGER', 'It''s new', 'Cel'),",
        "    (9, 2, 'CORELINK', 'Gone', 'Cel')",
    ]


def test_a_resource_whose_type_differs_between_versions_is_left_out() -> None:
    files = (
        model(9, "1.0", (1, "Flag", "Boolean"), (2, "Level", "Float")),
        model(9, "2.0", (1, "Flag", "Integer")),
    )
    assert rows(*files) == ["    (9, 2, 'FLOAT', 'Level', 'Cel')"]


def test_our_own_object_and_files_without_the_notice_are_left_out() -> None:
    files = (
        model(10240, "1.0", (1, "Another", "Integer")),
        model(8, "1.0", (1, "Unlicensed", "Integer"), holder=""),
        model(9, "1.0", (1, "Ours", "Float")),
    )
    assert rows(*files) == ["    (9, 1, 'FLOAT', 'Ours', 'Cel')"]


def test_a_migration_holds_the_notice_with_all_holders() -> None:
    text = migration([model(1, "1.0", (0, "A", "Time")), model(2, "1.0", (0, "B", "Time"), holder="ARM")])
    head = text[: text.index("INSERT")]
    assert "-- Copyright 2019 ARM.\n-- Copyright 2019 OMA.\n--\n-- Redistribution and use" in head
    assert head.endswith("-- modification. POSSIBILITY OF SUCH DAMAGE.\n\n")
