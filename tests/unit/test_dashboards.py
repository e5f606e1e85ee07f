"""Grafana's dashboards: the files are what the code writes, and hang together."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from deploy.grafana.generate import written
from deploy.grafana.statements import FOLDER, rules

BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in written().items()}


def test_the_files_are_what_make_dashboards_writes() -> None:
    assert {path.stem: path.read_text() for path in (FOLDER / "dashboards").glob("*.json")} == written()


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_used_is_declared_and_every_panel_is_on_the_data_source_chosen(name: str) -> None:
    board = BOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{(\w+):sqlstring\}", json.dumps(board)))
    assert used <= declared
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]


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


def test_links_between_dashboards_lead_to_one_that_is_there() -> None:
    known = {board["uid"] for board in BOARDS.values()}
    linked = set(re.findall(r"/d/([\w-]+)", json.dumps(BOARDS)))
    assert linked
    assert linked <= known


def test_panels_and_rules_ask_postgresql_alone_so_that_none_names_a_metric() -> None:
    """What they ask it is run in tests/integration/test_grafana.py: each table and column is there."""
    panels = [target for board in BOARDS.values() for panel in board["panels"] for target in panel["targets"]]
    assert len(panels) > 20
    assert all(target["rawSql"] for target in panels)
    for rule in rules().values():
        assert {each["datasourceUid"] for each in rule["data"]} == {"flownexus", "__expr__"}
        assert all(
            each["model"].get("rawSql") or each["datasourceUid"] == "__expr__" for each in rule["data"]
        )
