"""Every metric of the Python parts, named flownexus_<part>_<what>_<unit>; a counter's gets `_total`.

The template's server adds those of HTTP requests (http_*).
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

STORE_TRANSACTION_SECONDS = Histogram(
    "flownexus_store_transaction_seconds",
    "How long transactions take, from asking the pool for a connection to the commit, all tries together.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
STORE_VALUES = Counter("flownexus_store_values", "Values stored, each a row.")

WEBHOOK_ITEMS = Counter("flownexus_webhook_items", "Items by what became of them.", ["kind", "result"])

DISPATCH_ATTEMPTS = Counter("flownexus_dispatch_attempts", "Attempts by what they meant.", ["verdict"])
DISPATCH_OPEN_OPERATIONS = Gauge(
    "flownexus_dispatch_open_operations", "Operations that wait for their device."
)
DISPATCH_LONG_POLL_SECONDS = Histogram(
    "flownexus_dispatch_long_poll_seconds",
    "How long Leshan took to answer a request for an operation, its device included.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120),
)
DISPATCH_LATE_RESULTS = Counter(
    "flownexus_dispatch_late_results", "Results thrown away since the claim was not the newest any more."
)

HOUSEKEEPING_REVIVED_OPERATIONS = Counter(
    "flownexus_housekeeping_revived_operations", "Operations whose worker did not come back."
)
HOUSEKEEPING_RENEWED_OPERATIONS = Counter(
    "flownexus_housekeeping_renewed_operations", "Operations of the observe plan that were queued anew."
)
HOUSEKEEPING_HINTED_ENDPOINTS = Counter(
    "flownexus_housekeeping_hinted_endpoints", "Endpoints whose hint was published again."
)

MESSAGING_UNPUBLISHED_HINTS = Counter(
    "flownexus_messaging_unpublished_hints", "Hints that NATS did not take; housekeeping repairs them."
)


class ConnectorMetrics:
    """The connector's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter(
            "flownexus_connector_calls",
            "Messages, and calls by schedule, by what became of them: ok, retry (will be delivered again), "
            "refused, given_up, failed (by schedule: no second try), skipped (by schedule: the last one "
            "still runs)",
            ["function", "result"],
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "flownexus_connector_in_flight_messages",
            "Messages whose call is open now",
            ["function"],
            registry=self.registry,
        )
        self.redeliveries = Counter(
            "flownexus_connector_redelivered_messages",
            "Messages that JetStream delivered not for the first time",
            ["function"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "flownexus_connector_call_seconds",
            "How long calls take",
            ["function"],
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120),
            registry=self.registry,
        )
        self.nats_connected = Gauge(
            "flownexus_connector_nats_connected", "1 while connected to NATS", registry=self.registry
        )
        self.gateway_reachable = Gauge(
            "flownexus_connector_gateway_reachable",
            "1 while the gateway answers with its list of functions",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """Return all in Prometheus's text format."""
        return generate_latest(self.registry)
