"""The files of migrations, by their names alone."""

from __future__ import annotations

from flownexus.migrate import SQL_FOLDER


def test_migrations_are_numbered_one_after_the_other() -> None:
    """Two branches had each taken the same number."""
    numbers = [path.name[:3] for path in sorted((SQL_FOLDER / "migrations").glob("*.sql"))]
    assert numbers == [f"{number:03d}" for number in range(1, len(numbers) + 1)]
