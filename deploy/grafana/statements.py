"""What Grafana asks PostgreSQL and Prometheus: what its files say, expanded as its documents say.

Grafana is not here to do it: tests and benchmarks ask in its place.
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
RATE_INTERVAL = "1m"
"""Four times the interval at which Prometheus scrapes."""

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
    """Return the alert rules that ask PostgreSQL, by their uid."""
    return _rules(FOLDER / "provisioning" / "alerting" / "flownexus.yaml")


def metric_rules() -> dict[str, Json]:
    """Return the alert rules that ask Prometheus, by their uid."""
    return _rules(FOLDER / "prometheus" / "provisioning" / "alerting" / "flownexus-prometheus.yaml")


def metric_expressions() -> dict[str, str]:
    """Return all that Prometheus is asked, by the panel's title and query or by the rule."""
    path = FOLDER / "prometheus" / "dashboards" / "pipeline-metrics.json"
    board = json.loads(path.read_text(encoding="utf-8"))
    return {
        f"{panel['title']}: {target['refId']}": target["expr"].replace("$__rate_interval", RATE_INTERVAL)
        for panel in board["panels"]
        for target in panel["targets"]
    } | {rule["title"]: rule["data"][0]["model"]["expr"] for rule in metric_rules().values()}


def _rules(path: Path) -> dict[str, Json]:
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return {rule["uid"]: rule for group in groups for rule in group["rules"]}


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
