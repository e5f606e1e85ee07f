"""Prometheus beside the whole system, as deploy/prometheus/one-machine.yml has it, asked as Grafana asks."""

from __future__ import annotations

import http.client
import json
import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from deploy.grafana.statements import metric_expressions, metric_rules
from local.openfaas.stack import read_stack
from local.servers.ports import LOOPBACK, free_port
from tests.fixtures.nexus import Nexus, wait_for

GROUPS = ("prefix=metric-,count=3,notify=200ms,lifetime=600,update=2s",)
PROMETHEUS = shutil.which("prometheus")
CONFIGURATION = Path(__file__).parents[2] / "deploy" / "prometheus" / "one-machine.yml"
FUNCTIONS = set(read_stack(Path(__file__).parents[2] / "stack.yml", {}))
TEMPERATURE = "/3303/0/5700"

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer; None as long as there is none."""
        try:
            with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=10)) as connection:
                connection.request("GET", f"/api/v1/{path}?{urlencode(query)}")
                response = connection.getresponse()
                body = response.read()
        except OSError:
            return None
        if response.status == 503:  # it starts
            return None
        answer = json.loads(body)
        assert answer["status"] == "success", answer
        return answer["data"]

    def ask(self, expression: str) -> dict[str, float]:
        """Return the numbers that there are now of an expression, by their labels."""
        found = {
            json.dumps(each["metric"]): float(each["value"][1])
            for each in self.get("query", query=expression)["result"]
        }
        return {labels: number for labels, number in found.items() if not math.isnan(number)}


@pytest.fixture
def prometheus(nexus: Nexus, tmp_path: Path) -> Iterator[Prometheus]:
    text = CONFIGURATION.read_text()
    ports = nexus.world.ports
    for documented, ours in (
        ("127.0.0.1:8080", f"{LOOPBACK}:{ports.gateway}"),
        ("127.0.0.1:8092", f"{LOOPBACK}:{ports.leshan_metrics}"),
        ("127.0.0.1:8091", f"{LOOPBACK}:{ports.connector}"),
        ("/etc/prometheus/secrets/", f"{nexus.world.home / 'secrets'}/"),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
    ):
        assert text.count(documented) == 1
        text = text.replace(documented, ours)
    (tmp_path / "prometheus.yml").write_text(text)
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                str(PROMETHEUS),
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(30)


def test_every_part_is_scraped_and_every_panel_and_rule_has_numbers(
    nexus: Nexus, prometheus: Prometheus
) -> None:
    def scraped() -> set[str]:
        active = (prometheus.get("targets", state="active") or {"activeTargets": []})["activeTargets"]
        return {
            target["labels"].get("faas_function", target["labels"]["job"])
            for target in active
            if target["health"] == "up"
        }

    wait_for(lambda: scraped() == FUNCTIONS | {"leshan", "connector"}, 60, "all parts to be scraped")

    def without_numbers() -> list[str]:
        # What happens is seen once a counter has risen between two scrapes.
        nexus.await_status(nexus.queue("metric-0001", "read", TEMPERATURE), "CONFIRMED")
        return [name for name, asked in metric_expressions().items() if not prometheus.ask(asked)]

    deadline = time.monotonic() + 60
    while (missing := without_numbers()) and time.monotonic() < deadline:
        time.sleep(1)
    assert missing == []

    [(_, values)] = prometheus.ask("sum(rate(flownexus_store_values_total[1m]))").items()
    assert 0 < values < 100  # three devices, of which each tells five values a second
    by_function = prometheus.ask(metric_expressions()["values stored a second, over time: A"])
    assert {json.loads(labels)["faas_function"] for labels in by_function} <= FUNCTIONS
    [(_, full)] = prometheus.ask(metric_expressions()["Leshan's spool is near its bound"]).items()
    assert (
        0
        <= full
        < metric_rules()["flownexus-spool-near-bound"]["data"][1]["model"]["conditions"][0]["evaluator"][
            "params"
        ][0]
    )
