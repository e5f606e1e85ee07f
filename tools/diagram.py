"""Draw the schema of a migrated database as a Mermaid entity-relationship diagram: docs/schema.md."""

from __future__ import annotations

import secrets
import tempfile
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
            lines.append(f"    {table} {{")
            notes.append(f"\n## {table}\n" + (f"\n{comment}\n" if comment else ""))
            bullets = []
            for name, type_name, required, remark, is_key in queries.columns(connection, table_oid=oid):
                short = _TYPE_NAMES.get(type_name, type_name).replace("[]", "_array")
                lines.append(f"        {short} {name}" + (" PK" if is_key else ""))
                if remark:
                    bullets.append(f"- `{name}`{'' if required else ' (may be null)'}: {remark}")
            if bullets:
                notes.append("\n" + "\n".join(bullets) + "\n")
            lines.append("    }")
        checked = [(*row, "is of") for row in queries.foreign_keys(connection)]
    for parent, child, verb in [*checked, *_UNCHECKED]:
        lines.append(f'    {parent} ||--o{{ {child} : "{verb}"')
    return _HEAD + "\n".join(lines) + "\n```\n" + "".join(notes)


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
