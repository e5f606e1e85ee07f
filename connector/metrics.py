"""The connector's Prometheus metrics."""

from __future__ import annotations

import prometheus_client as prometheus


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.calls = prometheus.Counter(
            "flownexus_connector_calls",
            "Messages, and calls by schedule, by what became of them: ok, retry (will be delivered again), "
            "refused, given_up, failed (by schedule: no second try), skipped (by schedule: the last one "
            "still runs)",
            ["function", "result"],
            registry=self.registry,
        )
        self.in_flight = prometheus.Gauge(
            "flownexus_connector_in_flight",
            "Messages whose call is open now",
            ["function"],
            registry=self.registry,
        )
        self.redeliveries = prometheus.Counter(
            "flownexus_connector_redeliveries",
            "Messages that JetStream delivered not for the first time",
            ["function"],
            registry=self.registry,
        )
        self.seconds = prometheus.Histogram(
            "flownexus_connector_call_seconds",
            "How long calls take",
            ["function"],
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120),
            registry=self.registry,
        )
        self.nats_connected = prometheus.Gauge(
            "flownexus_connector_nats_connected", "1 while connected to NATS", registry=self.registry
        )
        self.gateway_reachable = prometheus.Gauge(
            "flownexus_connector_gateway_reachable",
            "1 while the gateway answers with its list of functions",
            registry=self.registry,
        )
        prometheus.ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """Return all in Prometheus's text format."""
        return prometheus.generate_latest(self.registry)
