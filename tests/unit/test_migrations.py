"""The files of migrations, by their names alone."""

from __future__ import annotations

import re

from flownexus.migrate import SQL_FOLDER

BEFORE_THE_RULE = 23
NARROWS = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN|VIEW|FUNCTION|SEQUENCE|ROLE)|RENAME|SET\s+NOT\s+NULL|REVOKE"
    r"|ALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE)\b",
    re.IGNORECASE,
)


def test_migrations_are_numbered_one_after_the_other() -> None:
    """Two branches had each taken the same number."""
    numbers = [path.name[:3] for path in sorted((SQL_FOLDER / "migrations").glob("*.sql"))]
    assert numbers == [f"{number:03d}" for number in range(1, len(numbers) + 1)]


def test_a_migration_that_takes_something_away_says_why_the_version_before_can_do_without() -> None:
    """While an upgrade is rolled out, the functions of the version before run on the new schema."""
    for path in sorted((SQL_FOLDER / "migrations").glob("*.sql"))[BEFORE_THE_RULE:]:
        text = path.read_text(encoding="utf-8")
        statements = re.sub(r"--.*", "", text)
        if taken := NARROWS.search(statements):
            assert re.search(r"^-- narrows: \S+", text, re.MULTILINE), (
                f"{path.name} has {taken[0]!r}: say in a line `-- narrows: ...` why the functions of the "
                "version before do not need it (CONTRIBUTING.md)"
            )
