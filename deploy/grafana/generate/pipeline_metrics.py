"""The pipeline by metrics: what no row tells, such as the spool and how long functions take."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries

from deploy.grafana.generate.parts import GREEN, ORANGE, PROMETHEUS, RED, board, chart, metric, number

# A function is known by the label faas_function, as in OpenFaaS's own Prometheus.


def pipeline_metrics() -> dashboard.Dashboard:
    """Return the dashboard of the way from device to row and back, by Prometheus."""
    return (
        board(
            "pipeline-metrics",
            "pipeline, by metrics",
            "Leshan's spool, the functions and the connector, by Prometheus.",
            PROMETHEUS,
        )
        .with_panel(
            number(
                "values stored a second",
                metric("sum(rate(flownexus_store_values_total[$__rate_interval]))"),
                unit="wps",
            )
        )
        .with_panel(
            number(
                "spool",
                metric("max(flownexus_leshan_spool_bytes / flownexus_leshan_spool_bound_bytes)"),
                unit="percentunit",
                steps=((None, GREEN), (0.5, ORANGE), (0.8, RED)),
                description="How full Leshan's spool is; at its bound devices are refused.",
            )
        )
        .with_panel(
            number(
                "oldest item in the spool",
                metric("max(flownexus_leshan_spool_oldest_seconds)"),
                unit="s",
                steps=((None, GREEN), (5, ORANGE), (60, RED)),
            )
        )
        .with_panel(
            number(
                "spool takes items",
                metric("min(flownexus_leshan_spool_writable)"),
                unit="bool_yes_no",
                steps=((None, RED), (1, GREEN)),
                description="No: the disk of the spool takes nothing, and devices are refused.",
            )
        )
        .with_panel(
            number(
                "items set aside",
                metric("sum(flownexus_leshan_spool_set_aside_items)"),
                steps=((None, GREEN), (1, RED)),
                description="Items in the spool that their function cannot read.",
            )
        )
        .with_panel(
            number(
                "requests that failed",
                metric(
                    '(sum(rate(http_requests_total{code=~"5.."}[$__rate_interval])) or vector(0))'
                    " / sum(rate(http_requests_total[$__rate_interval]))"
                ),
                unit="percentunit",
                steps=((None, GREEN), (0.001, ORANGE), (0.01, RED)),
                description="The share of functions' answers with a status of 500 or above.",
            )
        )
        .with_panel(
            chart(
                "values stored a second, over time",
                [
                    metric(
                        "sum by (faas_function) (rate(flownexus_store_values_total[$__rate_interval]))",
                        "{{faas_function}}",
                    )
                ],
                unit="wps",
                description="By the function that stored them; dispatch-op stores what devices answer.",
            )
        )
        .with_panel(
            chart(
                "items, by what became of them",
                [
                    metric(
                        "sum by (kind, result) (rate(flownexus_webhook_items_total[$__rate_interval]))",
                        "{{kind}} {{result}}",
                    )
                ],
                unit="cps",
                description="Stored, skipped as a repetition, or rejected as a dead letter.",
            )
        )
        .with_panel(
            chart(
                "spool and its bound",
                [
                    metric("flownexus_leshan_spool_bytes", "{{instance}}"),
                    metric("flownexus_leshan_spool_bound_bytes", "bound of {{instance}}"),
                ],
                unit="bytes",
            )
        )
        .with_panel(
            chart(
                "oldest item in the spool, over time",
                [metric("flownexus_leshan_spool_oldest_seconds", "{{instance}}")],
                unit="s",
                description="How late values are at least when they are stored.",
            )
        )
        .with_panel(
            _times(
                "commits of the spool",
                "flownexus_leshan_spool_commit_seconds",
                "",
                "A message is acknowledged after the commit.",
            )
        )
        .with_panel(
            _times(
                "posts of Leshan",
                "flownexus_leshan_webhook_post_seconds",
                "kind",
                "From a post to its answer.",
            )
        )
        .with_panel(
            _times(
                "functions",
                "http_request_duration_seconds",
                "faas_function",
                "From a request's head to the last byte.",
            )
        )
        .with_panel(
            chart(
                "requests a second",
                [
                    metric(
                        "sum by (faas_function, code) (rate(http_requests_total[$__rate_interval]))",
                        "{{faas_function}} {{code}}",
                    )
                ],
                unit="reqps",
                description="Of each function, by status; 429: more at once than max_inflight.",
            )
        )
        .with_panel(
            _times(
                "transactions",
                "flownexus_store_transaction_seconds",
                "faas_function",
                "With the wait for a connection, all tries together.",
            )
        )
        .with_panel(
            _times(
                "long polls",
                "flownexus_dispatch_long_poll_seconds",
                "",
                "How long Leshan took to answer for a device.",
            )
        )
        .with_panel(
            chart(
                "open operations and messages",
                [
                    metric("sum(flownexus_dispatch_open_operations)", "operations at dispatch-op"),
                    metric("sum(flownexus_leshan_open_requests)", "requests at Leshan"),
                    metric("sum(flownexus_connector_in_flight_messages)", "messages at the connector"),
                ],
            )
        )
        .with_panel(
            chart(
                "attempts at operations",
                [
                    metric(
                        "sum by (verdict) (rate(flownexus_dispatch_attempts_total[$__rate_interval]))",
                        "{{verdict}}",
                    )
                ],
                unit="cps",
                description="By what the answer meant.",
            )
        )
        .with_panel(
            chart(
                "calls of the connector",
                [
                    metric(
                        "sum by (function, result) (rate(flownexus_connector_calls_total[$__rate_interval]))",
                        "{{function}} {{result}}",
                    )
                ],
                unit="cps",
            )
        )
        .with_panel(
            chart(
                "repairs of housekeeping",
                [
                    metric(f"sum(rate(flownexus_{what}_total[$__rate_interval]))", legend)
                    for what, legend in (
                        ("housekeeping_revived_operations", "operations revived"),
                        ("housekeeping_renewed_operations", "operations renewed"),
                        ("housekeeping_hinted_endpoints", "endpoints hinted"),
                        ("messaging_unpublished_hints", "hints not published"),
                    )
                ],
                unit="cps",
            )
        )
    )


def _times(title: str, histogram: str, label: str, description: str) -> timeseries.Panel:
    """Return a panel of a histogram's median and 99 %, for each value of a label if one is named."""
    return chart(
        f"{title}: median and 99 %",
        [_quantile(0.5, histogram, label, "median"), _quantile(0.99, histogram, label, "99 %")],
        unit="s",
        description=description,
    )


def _quantile(share: float, histogram: str, label: str, name: str) -> prometheus.Dataquery:
    by, legend = (f"le, {label}", f"{{{{{label}}}}} {name}") if label else ("le", name)
    buckets = f"sum by ({by}) (rate({histogram}_bucket[$__rate_interval]))"
    return metric(f"histogram_quantile({share}, {buckets})", legend)
