"""Dashboards for Grafana, made by code: `make dashboards` writes them into deploy/grafana/."""

from __future__ import annotations

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.generate.device import device
from deploy.grafana.generate.firmware import firmware
from deploy.grafana.generate.fleet import fleet
from deploy.grafana.generate.operations import operations
from deploy.grafana.generate.pipeline import pipeline
from deploy.grafana.generate.pipeline_metrics import pipeline_metrics
from deploy.grafana.generate.telemetry import telemetry


def written() -> dict[str, str]:
    """Return each dashboard's JSON, in Grafana's classic model, by its file in deploy/grafana/."""
    boards = {
        "dashboards/device.json": device,
        "dashboards/firmware.json": firmware,
        "dashboards/fleet.json": fleet,
        "dashboards/operations.json": operations,
        "dashboards/pipeline.json": pipeline,
        "dashboards/telemetry.json": telemetry,
        "prometheus/dashboards/pipeline-metrics.json": pipeline_metrics,
    }
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {path: encoder.encode(board().build()) + "\n" for path, board in boards.items()}
