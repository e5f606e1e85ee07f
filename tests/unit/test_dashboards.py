"""Grafana's dashboards and rules: the files are what the code writes, and hang together."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting, dashboard, units

from deploy.grafana.generate import written
from deploy.grafana.statements import FOLDER, metric_expressions, metric_rules, rules

ROOT = Path(__file__).parents[2]
BOARDS: dict[str, dict[str, Any]] = {path: json.loads(text) for path, text in written().items()}
RULES = rules() | metric_rules()
EXPRESSIONS = metric_expressions()
NOT_PUBLISHED = {"dBm", "short"}
"""Units that Grafana has and its schema's list of units has not."""


def test_the_files_are_what_make_dashboards_writes() -> None:
    files = [*FOLDER.glob("dashboards/*.json"), *FOLDER.glob("prometheus/dashboards/*.json")]
    assert {str(path.relative_to(FOLDER)): path.read_text() for path in files} == written()


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_used_is_declared_and_every_panel_is_on_the_data_source_chosen(name: str) -> None:
    board = BOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{(\w+):(?:sqlstring|queryparam)\}", json.dumps(board)))
    assert used <= declared
    [chosen] = [v["query"] for v in board["templating"]["list"] if v["name"] == "datasource"]
    for panel in board["panels"]:
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert source == {"type": chosen, "uid": "${datasource}"}, panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_side_by_side_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_links_between_dashboards_lead_to_one_that_is_there_and_set_variables_that_it_has() -> None:
    variables = {
        board["uid"]: {variable["name"] for variable in board["templating"]["list"]}
        for board in BOARDS.values()
    }
    links = re.findall(r"/d/([\w-]+)\?([^\"]*)", json.dumps(BOARDS))
    assert {uid for uid, _ in links} == {"flownexus-device", "flownexus-telemetry"}
    for uid, query in links:
        assert set(re.findall(r"var-(\w+)=|(?<=\{)(\w+)(?=:queryparam)", query))
        for pair in re.findall(r"var-(\w+)=|(?<=\{)(\w+)(?=:queryparam)", query):
            assert set(pair) - {""} <= variables[uid]
    for board in BOARDS.values():  # and each to all others, by their tag
        assert board["tags"] == ["flownexus"]
        assert [(link["type"], link["tags"]) for link in board["links"]] == [("dashboards", ["flownexus"])]


# Grafana's published schema, as grafana-foundation-sdk has it


def read_back(model: Any, written_: dict[str, Any]) -> Any:
    """Return what a class of the schema knows of an object."""
    plugins.register_default_plugins()
    return json.loads(JSONEncoder().encode(model.from_json(written_)))


def lost(ours: Any, known: Any, place: str = "") -> list[str]:
    """Return the places of what was written and the schema does not know, or knows as something else."""
    if isinstance(ours, dict) and isinstance(known, dict):
        return [
            each
            for key, value in ours.items()
            for each in (lost(value, known[key], f"{place}.{key}") if key in known else [f"{place}.{key}"])
        ]
    if isinstance(ours, list) and isinstance(known, list) and len(ours) == len(known):
        pairs = enumerate(zip(ours, known, strict=True))
        return [each for n, (mine, its) in pairs for each in lost(mine, its, f"{place}[{n}]")]
    return [] if ours == known else [place]


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_says_nothing_that_the_schema_does_not_know(name: str) -> None:
    board = deepcopy(BOARDS[name])
    for note in board.get("annotations", {}).get("list", []):
        assert note.pop("target")["rawSql"]  # the schema leaves it to the data source
    assert lost(board, read_back(dashboard.Dashboard, board)) == []


@pytest.mark.parametrize("uid", RULES)
def test_a_rule_says_nothing_that_the_schema_does_not_know(uid: str) -> None:
    rule = RULES[uid]
    assert lost(rule, read_back(alerting.Rule, rule)) == []
    assert (rule["noDataState"], rule["execErrState"]) == ("OK", "Error")
    assert rule["condition"] == rule["data"][-1]["refId"]


def test_what_the_schema_does_not_know_is_told() -> None:
    board = deepcopy(BOARDS["dashboards/pipeline.json"])
    board["panels"][0]["options"]["colour"] = "red"
    board["panels"][1]["titel"] = "x"
    assert lost(board, read_back(dashboard.Dashboard, board)) == [
        ".panels[0].options.colour",
        ".panels[1].titel",
    ]


def test_units_are_grafanas() -> None:
    known = {value for name, value in vars(units).items() if isinstance(value, str) and name[0].isupper()}
    used = set(re.findall(r'"(?:unit|value)": "([^"]*)"', json.dumps([b["panels"] for b in BOARDS.values()])))
    assert {"s", "percent", "bytes"} <= used
    assert used - known <= NOT_PUBLISHED


# Metrics


def metrics() -> set[str]:
    """Return the names under which Prometheus knows every metric of ours, by the sources that name them."""
    python = [ROOT / "flownexus/metrics.py", ROOT / "template/python3-flownexus/function_server/edge.py"]
    java = (ROOT / "leshan/server/src/main/java/io/flownexus/leshan/server/base/Metrics.java").read_text()
    kinds = [
        pair
        for path in python
        for pair in re.findall(r'\b(Counter|Gauge|Histogram)\(\s*"(\w+)"', path.read_text())
    ]
    kinds += [
        (kind.capitalize(), f"flownexus_leshan_{name}")
        for kind, name in re.findall(r'\b(counter|histogram)\(\s*"(\w+)"', java)
    ]
    kinds += [
        ("Gauge", f"flownexus_leshan_{name.lower()}") for name in re.findall(r'^    ([A-Z_]+)\("', java, re.M)
    ]
    endings = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}
    return {name + ending for kind, name in kinds for ending in endings[kind]}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_metric_that_is_asked_for_exists(name: str) -> None:
    bare = re.sub(r"\bby \([^)]*\)|\{[^}]*\}|\[\w+\]", "", EXPRESSIONS[name])
    asked = set(re.findall(r"\b[a-z_]\w*\b(?!\s*\()", bare)) - {"or"}
    assert asked
    assert asked <= metrics()


def test_there_are_metrics_of_every_part() -> None:
    assert {
        "flownexus_store_values_total",
        "flownexus_connector_call_seconds_bucket",
        "http_request_duration_seconds_count",
        "flownexus_leshan_spool_bytes",
        "flownexus_leshan_spool_commits_total",
        "flownexus_leshan_webhook_post_seconds_bucket",
    } <= metrics()


# What is provisioned


def test_rules_ask_a_data_source_that_is_provisioned_beside_them() -> None:
    for folder, its_rules in ((FOLDER, rules()), (FOLDER / "prometheus", metric_rules())):
        [path] = folder.glob("provisioning/datasources/*.yaml")
        [source] = yaml.safe_load(path.read_text())["datasources"]
        assert its_rules
        for rule in its_rules.values():
            assert [each["datasourceUid"] for each in rule["data"]] == [source["uid"], "__expr__"]
