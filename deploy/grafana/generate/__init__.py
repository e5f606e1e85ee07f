"""Dashboards for Grafana, made by code: `make dashboards` writes deploy/grafana/dashboards/."""

from __future__ import annotations

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.generate.device import device
from deploy.grafana.generate.fleet import fleet
from deploy.grafana.generate.operations import operations
from deploy.grafana.generate.pipeline import pipeline
from deploy.grafana.generate.telemetry import telemetry


def written() -> dict[str, str]:
    """Return each dashboard's JSON by its name, in Grafana's classic model."""
    boards = (fleet, device, telemetry, operations, pipeline)
    return {
        board.__name__: JSONEncoder(sort_keys=True, indent=2).encode(board().build()) + "\n"
        for board in boards
    }
