"""Functions of the version before work on this schema: PostgreSQL takes their statements, of their roles."""

from __future__ import annotations

import ast
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiosql
import psycopg
import pytest

from chaos.revision import PREVIOUS, RevisionError, extract
from flownexus.migrate import migrate
from local.openfaas.stack import read_stack
from tests.fixtures.postgres import TestCluster

SECRET: Final = re.compile(r"flownexus-(?:(\w+)-)?database-url")
PARAMETER: Final = re.compile(r"%\((\w+)\)s")
NEVER_SENT: Final = {("flownexus_housekeeping", "unregister")}
"""What a role's functions import beside what they need, and do not send."""


def role_of(secret: str) -> str | None:
    """Return the role whose URL a secret has; the first one served most functions."""
    found = SECRET.fullmatch(secret)
    return f"flownexus_{found[1] or 'functions'}" if found else None


def statements_of(root: Path) -> dict[str, dict[str, str]]:
    """Return the statements of each role of a version, by name: all that its functions' imports name."""
    queries = aiosql.from_path(root / "flownexus" / "store" / "sql", "psycopg")
    found: dict[str, dict[str, str]] = {}
    for function in read_stack(root / "stack.yml", {}).values():
        for role in filter(None, map(role_of, function.secrets)):
            names = queries_named(root, function.handler / "handler.py", set())
            found.setdefault(role, {}).update({name: getattr(queries, name).sql for name in names})
    return found


def queries_named(root: Path, file: Path, seen: set[Path]) -> set[str]:
    """Return the queries that a file names, or one of the version's that it imports, one not `seen`."""
    seen.add(file)
    names, imported = set(), set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="queries"), attr=name):
                names.add(name)
            case ast.ImportFrom(module=str(module), names=of):
                imported |= {module, *(f"{module}.{each.name}" for each in of)}
            case ast.Import(names=of):
                imported |= {each.name for each in of}
    for module in imported:
        path = root.joinpath(*module.split("."))
        for source in (path.with_suffix(".py"), path / "__init__.py"):
            if source.is_file() and source not in seen:
                names |= queries_named(root, source, seen)
    return names


def refusal(connection: psycopg.Connection[Any], statement: str) -> str:
    """Return what PostgreSQL has against a statement when it is about to run it, with any parameters."""
    names = list(dict.fromkeys(PARAMETER.findall(statement)))
    text = PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%")
    parameters = f"({', '.join(['NULL'] * len(names))})" if names else ""
    try:
        with connection.transaction(force_rollback=True), connection.cursor() as cursor:
            if text.startswith("COPY"):
                with cursor.copy(text.encode()) as copy:
                    copy.set_types([])
            else:
                # A plan for one set of parameters may leave out what these do not reach.
                cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
                cursor.execute(f"PREPARE old AS {text}".encode())
                cursor.execute(f"EXPLAIN EXECUTE old{parameters}".encode())
    except psycopg.Error as error:
        return str(error).partition("\n")[0]
    finally:
        connection.execute("DEALLOCATE ALL")
    return ""


@dataclass(frozen=True)
class Upgraded:
    """A database of the version before that has been brought to this schema."""

    connection: psycopg.Connection[Any]
    statements: dict[str, dict[str, str]]
    refused_before: dict[tuple[str, str], str]

    def refused(self) -> dict[tuple[str, str], str]:
        """Return what roles of the version before are refused by now, by role and statement, and why."""
        now = refused(self.connection, self.statements)
        return {
            key: why for key, why in now.items() if key not in self.refused_before | dict.fromkeys(NEVER_SENT)
        }


def refused(
    connection: psycopg.Connection[Any], statements: dict[str, dict[str, str]]
) -> dict[tuple[str, str], str]:
    """Return what each role is refused, by role and statement, and why."""
    found: dict[tuple[str, str], str] = {}
    for role, of_role in statements.items():
        connection.execute(f"SET ROLE {role}".encode())
        found |= {(role, name): refusal(connection, text) for name, text in of_role.items()}
        connection.execute("RESET ROLE")
    return {key: why for key, why in found.items() if why}


@pytest.fixture
def upgraded(bare_cluster: TestCluster, empty_database: str, tmp_path: Path) -> Iterator[Upgraded]:
    """Migrate as the version before, whose roles may log in, and then as this one."""
    try:
        extract(PREVIOUS, tmp_path, "flownexus", "functions", "sql", "stack.yml")
    except RevisionError as error:
        pytest.skip(f"the version before cannot be had: {error}")
    statements = statements_of(tmp_path)
    former = statements.keys() - bare_cluster.passwords.keys()
    try:
        migrate(empty_database, dict.fromkeys(former, secrets.token_urlsafe()), tmp_path / "sql")
        with psycopg.connect(empty_database, autocommit=True) as connection:
            before = refused(connection, statements)
            migrate(empty_database)
            yield Upgraded(connection, statements, before)
    finally:
        for role in former:
            bare_cluster.execute(f"ALTER ROLE {role} NOLOGIN")


def test_what_functions_of_the_version_before_send_is_still_permitted(upgraded: Upgraded) -> None:
    sent = [(role, name) for role, of_role in upgraded.statements.items() for name in of_role]
    assert len(sent) > 2 * len(upgraded.refused_before)
    assert upgraded.refused() == {}


def test_what_would_break_them_is_found(upgraded: Upgraded) -> None:
    upgraded.connection.execute("REVOKE INSERT ON resource FROM flownexus_functions")
    upgraded.connection.execute("ALTER TABLE delivery_mark RENAME mark TO reached")
    upgraded.connection.execute("REVOKE EXECUTE ON FUNCTION make_partitions FROM flownexus_housekeeping")
    assert upgraded.refused() == {
        ("flownexus_functions", "copy_resources"): "permission denied for table resource",
        ("flownexus_functions", "store_few"): "permission denied for table resource",
        ("flownexus_functions", "lock_mark"): "column delivery_mark.mark does not exist",
        ("flownexus_functions", "move_mark"): 'column "mark" of relation "delivery_mark" does not exist',
        ("flownexus_housekeeping", "make_partitions"): "permission denied for function make_partitions",
    }
