"""Prometheus' own tool on what Prometheus is given: its configuration, and the rules that Grafana asks it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.statements import metric_expressions, metric_rules

PROMTOOL = shutil.which("promtool")
CONFIGURATIONS = Path(__file__).parents[2] / "deploy" / "prometheus"

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return what it says; fail where it is not content."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rule_file(path: Path, rules: list[dict[str, Any]]) -> Path:
    # JSON is YAML.
    path.write_text(json.dumps({"groups": [{"name": "flownexus", "interval": "15s", "rules": rules}]}))
    return path


def test_the_configuration_of_one_machine_is_one(tmp_path: Path) -> None:
    text = (CONFIGURATIONS / "one-machine.yml").read_text()
    password = tmp_path / "password"
    password.write_text("secret")
    path = tmp_path / "prometheus.yml"
    path.write_text(text.replace("/etc/prometheus/secrets/basic-auth-password", str(password)))
    assert "SUCCESS" in promtool("check", "config", path)


SCRAPED = {"annotation_prometheus_io_scrape": "true", "annotation_prometheus_io_port": "8081"}
PODS = {
    "functions": (
        ("ingest-single-1", 8080, {"label_faas_function": "ingest-single", **SCRAPED}),
        ("a-function-of-others", 8080, {"label_faas_function": "env"}),
    ),
    "leshan-and-connector": (
        ("leshan-0", 5684, {"label_app_kubernetes_io_name": "leshan"}),
        ("leshan-0", 8090, {"label_app_kubernetes_io_name": "leshan"}),
        ("connector-1", 8081, {"label_app_kubernetes_io_name": "connector"}),
        ("postgres-0", 5432, {"label_app_kubernetes_io_name": "postgres"}),
    ),
}


def test_pods_of_k3s_are_asked_at_the_port_of_their_metrics(tmp_path: Path) -> None:
    configuration = yaml.safe_load((CONFIGURATIONS / "k3s.yml").read_text())
    # Debian has it without Kubernetes: it is told what a cluster would tell of each port of a pod.
    for job in configuration["scrape_configs"]:
        assert [each["role"] for each in job.pop("kubernetes_sd_configs")] == ["pod"]
        job["static_configs"] = [
            {
                "targets": [f"10.0.0.{number}:{port}"],
                "labels": {"__meta_kubernetes_pod_name": pod, "__meta_kubernetes_pod_ip": f"10.0.0.{number}"}
                | {f"__meta_kubernetes_pod_{label}": value for label, value in labels.items()},
            }
            for number, (pod, port, labels) in enumerate(PODS[job["job_name"]], 1)
        ]
    path = tmp_path / "k3s.yml"
    path.write_text(json.dumps(configuration))
    asked = {
        (labels["pod"], labels["__address__"].split(":")[1], labels.get("faas_function"))
        for job in PODS
        for target in json.loads(promtool("check", "service-discovery", "--timeout=5s", path, job))
        if (labels := target["labels"])
    }
    assert asked == {
        ("ingest-single-1", "8081", "ingest-single"),
        ("leshan-0", "8092", None),
        ("connector-1", "8081", None),
    }


def test_all_that_prometheus_is_asked_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"asked:{number}", "expr": expression}
        for number, expression in enumerate(metric_expressions().values())
    ]
    assert f"{len(rules)} rules found" in promtool("check", "rules", rule_file(tmp_path / "rules", rules))


def test_a_spool_near_its_bound_fires_and_clears(tmp_path: Path) -> None:
    [rule] = metric_rules().values()
    asked, threshold = rule["data"]
    [condition] = threshold["model"]["conditions"]
    assert (rule["uid"], asked["model"]["instant"]) == ("flownexus-spool-near-bound", True)
    assert condition["evaluator"]["type"] == "gt"
    [least] = condition["evaluator"]["params"]
    rule_file(
        tmp_path / "rules",
        [{"alert": rule["uid"], "expr": f"({asked['model']['expr']}) > {least}", "for": rule["for"]}],
    )
    labels = '{job="leshan", instance="one"}'
    firing = [{"exp_labels": {"job": "leshan", "instance": "one"}}]
    test = {
        "rule_files": ["rules"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f"flownexus_leshan_spool_bound_bytes{labels}", "values": "1000x20"},
                    {
                        "series": f"flownexus_leshan_spool_bytes{labels}",
                        # half, 79 %, a moment above, 79 %, 90 % and at last empty
                        "values": "500 790 850 790 900 900 900 900 0 0",
                    },
                ],
                "alert_rule_test": [
                    {"eval_time": at, "alertname": rule["uid"], "exp_alerts": alerts}
                    for at, alerts in (
                        ("0m", []), ("1m", []), ("2m", []), ("3m", []), ("6m", firing), ("9m", []),
                    )
                ],
            }
        ],
    }  # fmt: skip
    (tmp_path / "test").write_text(json.dumps(test))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "test")
    # and a test that expects none of it fails
    test["tests"][0]["alert_rule_test"][4]["exp_alerts"] = []  # type: ignore[index]
    (tmp_path / "test").write_text(json.dumps(test))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", tmp_path / "test")
