"""What Grafana asks PostgreSQL: the statements of its files, expanded as its documents say.

Grafana is not here to do it: tests and benchmarks ask PostgreSQL in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import yaml

FOLDER = Path(__file__).resolve().parent
INTERVAL_MS = 30_000
"""What a panel 800 points wide takes for six hours."""

Json: TypeAlias = dict[str, Any]


def boards() -> dict[str, Json]:
    """Return the dashboards by their file's name."""
    paths = sorted((FOLDER / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def panels() -> dict[str, Json]:
    """Return all panels, by dashboard and title."""
    return {
        f"{name}: {panel['title']}": panel for name, board in boards().items() for panel in board["panels"]
    }


def notes() -> dict[str, Json]:
    """Return all annotations, by dashboard and name."""
    return {
        f"{name}: {note['name']}": note
        for name, board in boards().items()
        for note in board.get("annotations", {}).get("list", [])
    }


def variables() -> dict[str, Json]:
    """Return the variables whose values are asked for, by dashboard and name."""
    return {
        f"{name}: {variable['name']}": variable
        for name, board in boards().items()
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    }


def rules() -> dict[str, Json]:
    """Return the alert rules by their uid."""
    text = (FOLDER / "provisioning" / "alerting" / "flownexus.yaml").read_text(encoding="utf-8")
    return {rule["uid"]: rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]}


def expanded(sql: str, start: datetime, end: datetime, chosen: Mapping[str, Sequence[str]]) -> bytes:
    """Expand macros and variables; the times are aware, `chosen` are the values of variables by name."""

    def quoted(time: datetime) -> str:
        return f"'{time.isoformat().replace('+00:00', 'Z')}'"

    sql = re.sub(r"\$__timeFilter\((.+?)\)", rf"\1 BETWEEN {quoted(start)} AND {quoted(end)}", sql)
    sql = sql.replace("$__timeFrom()", quoted(start)).replace("$__timeTo()", quoted(end))
    sql = sql.replace("$__interval_ms", str(INTERVAL_MS))
    for name, values in chosen.items():
        texts = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        sql = sql.replace(f"${{{name}:sqlstring}}", texts)
    if "$" in sql:
        raise ValueError(f"not expanded: {sql}")
    return sql.encode()
