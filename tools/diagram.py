"""Draw the schema of a migrated database as a Mermaid entity-relationship diagram: docs/schema.md."""

from __future__ import annotations

import secrets
import tempfile
import textwrap
from pathlib import Path

import aiosql
import psycopg

from flownexus.migrate import SQL_FOLDER, migrate
from local.servers.postgres import Cluster

SCHEMA_DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "schema.md"

queries = aiosql.from_path(SQL_FOLDER / "diagram.sql", "psycopg")

# What points where without a foreign key (the partitioned tables have none), and how it is read.
_UNCHECKED = (
    ("endpoint", "resource", "has measured"),
    ("resource_type", "resource", "describes"),
    ("endpoint", "resource_latest", "has as its newest"),
    ("resource_type", "resource_latest", "describes"),
    ("endpoint", "event", "has told"),
    ("event", "event_resource", "consists of"),
    ("resource", "event_resource", "belongs to"),
)
_HEAD = """# The schema

Generated from the migrated database by `make schema`; do not edit.
Partitions (one a month, and a default) of `resource`, `event` and `event_resource` are left out.

```mermaid
erDiagram
"""
_TYPE_NAMES = {
    "timestamp with time zone": "timestamptz",
    "double precision": "double",
    "numeric(20,0)": "numeric_20",
}


def schema_document(dsn: str) -> str:
    """Return docs/schema.md as the database at `dsn` has it."""
    lines: list[str] = []
    notes: list[str] = []
    with psycopg.connect(dsn) as connection:
        for table, comment, oid in queries.tables(connection):
            columns = list(queries.columns(connection, table_oid=oid))
            lines.append(f"    {table} {{")
            lines += [
                f"        {_short(type_name)} {name}" + (" PK" if is_key else "")
                for name, type_name, _, _, is_key in columns
            ]
            lines.append("    }")
            remarks = [
                _bullet(f"`{name}`{'' if required else ' (may be null)'}: {remark}")
                for name, _, required, remark, _ in columns
                if remark
            ]
            notes.append(_section("##", table, comment, remarks))
        checked = [(*row, "is of") for row in queries.foreign_keys(connection)]
        notes.append(_section("#", "Views", "", []))
        for view, comment, oid in queries.views(connection):
            described = [
                _bullet(f"`{name}` ({_short(type_name)})" + (f": {remark}" if remark else ""))
                for name, type_name, _, remark, _ in queries.columns(connection, table_oid=oid)
            ]
            notes.append(_section("##", view, comment, described))
    for parent, child, verb in [*checked, *_UNCHECKED]:
        lines.append(f'    {parent} ||--o{{ {child} : "{verb}"')
    return _HEAD + "\n".join(lines) + "\n```\n" + "".join(notes)


def _short(type_name: str) -> str:
    return _TYPE_NAMES.get(type_name, type_name).replace("[]", "_array")


def _bullet(text: str) -> str:
    return _wrapped(text, "- ", "  ")


def _section(level: str, name: str, comment: str, bullets: list[str]) -> str:
    body = [_wrapped(comment)] if comment else []
    if bullets:
        body.append("\n".join(bullets))
    return f"\n{level} {name}\n" + "".join(f"\n{part}\n" for part in body)


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return textwrap.fill(
        text, 98, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def main() -> None:
    """Write docs/schema.md from a database made for the purpose."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder) / "data", secrets.token_urlsafe(), durable=False) as cluster,
    ):
        migrate(cluster.dsn())
        SCHEMA_DOCUMENT.write_text(schema_document(cluster.dsn()), encoding="utf-8")


if __name__ == "__main__":
    main()
