from tools.models import migration

NOTICE = """<!-- BSD-3 Clause License
Copyright 2019 {holder}.
Redistribution and use in source and binary forms, with or without
  modification. POSSIBILITY OF SUCH DAMAGE.
-->"""


def model(object_id: int, version: str, *resources: tuple[int, str, str], holder: str = "OMA") -> str:
    items = "".join(
        f"<Item ID='{id_}'><Name>{name}</Name><Operations>R</Operations><Type>{type_}</Type>"
        "<Units> Cel </Units></Item>"
        for id_, name, type_ in resources
    )
    return (
        (NOTICE.format(holder=holder) if holder else "")
        + f"<LWM2M><Object><Name>Name</Name><ObjectID>{object_id}</ObjectID>"
        f"<ObjectVersion>{version}</ObjectVersion><Resources>{items}</Resources></Object></LWM2M>"
    )


def rows(*files: str) -> list[str]:
    return [line.strip(" ,;") for line in migration(files).splitlines() if line.startswith("    (9")]


def test_a_migration_has_each_version_of_each_object_in_order() -> None:
    assert rows(
        model(9, "1.10", (1, "It's new", "Unsigned Integer")),
        model(9, "1.9", (2, "Gone", "Corelnk"), (1, "Old", "Integer")),
    ) == [
        "(9, '1.9', 'Name', false)",
        "(9, '1.10', 'Name', false)",
        "(9, '1.9', 1, 'Old', 'R', false, false, 'INTEGER', NULL, 'Cel')",
        "(9, '1.9', 2, 'Gone', 'R', false, false, 'CORELINK', NULL, 'Cel')",
        "(9, '1.10', 1, 'It''s new', 'R', false, false, 'UNSIGNED_INTEGER', NULL, 'Cel')",
    ]


def test_our_own_object_and_files_without_the_notice_are_left_out() -> None:
    text = migration(
        [
            model(10240, "1.0", (1, "Another", "Integer")),
            model(8, "1.0", (1, "Unlicensed", "Integer"), holder=""),
            model(9, "1.0", (1, "Ours", "Float")),
        ]
    )
    assert "Ours" in text
    assert "Another" not in text
    assert "Unlicensed" not in text


def test_a_migration_holds_the_notice_with_all_holders() -> None:
    text = migration([model(1, "1.0", (0, "A", "Time")), model(2, "1.0", (0, "B", "Time"), holder="ARM")])
    head = text[: text.index("INSERT")]
    assert "-- Copyright 2019 ARM.\n-- Copyright 2019 OMA.\n--\n-- Redistribution and use" in head
    assert head.endswith("-- modification. POSSIBILITY OF SUCH DAMAGE.\n\n")
