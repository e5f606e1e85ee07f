"""One resource of many devices, over time."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.generate.parts import (
    DEVICE_LINK,
    ENDPOINT,
    MAX_CHOICES,
    MAX_ROWS,
    SEARCH,
    board,
    chart,
    choice,
    rows,
)

CHOSEN = "ARRAY[${endpoint:sqlstring}]::text[]"
BUCKETS = f"greatest({MAX_ROWS} / cardinality({CHOSEN}), 1)"


def telemetry() -> dashboard.Dashboard:
    """Return the dashboard of a resource of many devices."""
    return (
        board("telemetry", "telemetry", "A resource of many devices.")
        .with_variable(SEARCH)
        .with_variable(choice("endpoint", "endpoints", ENDPOINT, several=True, everything=True))
        .with_variable(
            choice(
                "path",
                "resource",
                f"""
                SELECT path FROM telemetry_latest
                WHERE endpoint = ({CHOSEN})[1] AND number IS NOT NULL
                ORDER BY object_id, object_instance_id, resource_id, resource_instance_id
                LIMIT {MAX_CHOICES}
                """,
            )
        )
        .with_panel(
            chart(
                "$path",
                f"""
                SELECT time, endpoint AS metric, mean AS value
                FROM series({CHOSEN}, ARRAY[${{path:sqlstring}}], $__timeFrom(), $__timeTo(), {BUCKETS})
                ORDER BY time LIMIT {MAX_ROWS}
                """,
                width=24,
                description="The mean of each bucket of time; the more devices, the wider the buckets.",
            ).height(11)
        )
        .with_panel(
            chart(
                "$path: lowest, mean and highest of all",
                f"""
                SELECT time, min(minimum) AS lowest, sum(mean * count) / sum(count) AS mean,
                       max(maximum) AS highest
                FROM series({CHOSEN}, ARRAY[${{path:sqlstring}}], $__timeFrom(), $__timeTo(), {BUCKETS})
                GROUP BY 1 ORDER BY 1 LIMIT {MAX_ROWS}
                """,
            )
        )
        .with_panel(
            rows(
                "latest values",
                f"""
                SELECT l.endpoint, l.number AS value, t.units, l.time,
                       extract(epoch FROM now() - l.time) AS age
                FROM telemetry_latest l JOIN resource_type t USING (object_id, resource_id)
                WHERE l.endpoint = ANY({CHOSEN}) AND l.path = ${{path:sqlstring}}
                ORDER BY number DESC NULLS LAST LIMIT {MAX_CHOICES}
                """,
                units=(("age", "s"),),
                link=DEVICE_LINK,
            )
        )
    )
