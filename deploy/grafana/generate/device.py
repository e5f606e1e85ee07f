"""One device: each numeric resource over time, its operations, its log."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, dashboard, stat

from deploy.grafana.generate.fleet import REGISTERED
from deploy.grafana.generate.parts import (
    ENDPOINT,
    GREEN,
    MAX_CHOICES,
    ORANGE,
    PATHS,
    RED,
    SEARCH,
    TELEMETRY_LINK,
    Steps,
    board,
    chart,
    choice,
    note,
    number,
    rows,
)

THIS = "(SELECT id FROM endpoint WHERE name = ${endpoint:sqlstring})"
BUCKETS = 600
"""A panel's points for a series: about its width."""


def device() -> dashboard.Dashboard:
    """Return the dashboard of one device."""
    return (
        board("device", "device", "One device: its values, operations and registrations.")
        .with_variable(SEARCH)
        .with_variable(choice("endpoint", "endpoint", ENDPOINT))
        .with_variable(
            choice(
                "path",
                "resources",
                f"""
                SELECT path FROM telemetry_latest
                WHERE endpoint = ${{endpoint:sqlstring}} AND number IS NOT NULL
                ORDER BY object_id, object_instance_id, resource_id, resource_instance_id
                LIMIT {MAX_CHOICES}
                """,
                several=True,
                everything=True,
            )
        )
        .annotation(_registrations("registered", GREEN))
        .annotation(_registrations("unregistered", ORANGE))
        .annotation(
            note(
                "reboots asked for",
                f"""
                SELECT finished_at AS time, operation_type || ' ' || path || ' ' || status AS text
                FROM endpoint_operation
                WHERE endpoint_id = {THIS} AND operation_type = 'execute' AND path IN ('/3/0/4', '/5/0/2')
                  AND $__timeFilter(finished_at)
                ORDER BY 1 LIMIT {MAX_CHOICES}
                """,
                RED,
            )
        )
        .with_panel(
            number(
                "registered",
                f"""
                SELECT CASE WHEN {REGISTERED} THEN 'yes' ELSE 'no' END AS registered
                FROM endpoint WHERE name = ${{endpoint:sqlstring}}
                """,
            ).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/"))
        )
        .with_panel(
            number(
                "last seen",
                """
                SELECT extract(epoch FROM now() - last_seen_at) AS ago
                FROM endpoint WHERE name = ${endpoint:sqlstring}
                """,
                unit="s",
                description="Since its last registration, update, value or answer; a minute late at most.",
            )
        )
        .with_panel(_latest("battery", "/3/0/9", "percent", ((None, RED), (20, ORANGE), (40, GREEN))))
        .with_panel(_latest("signal", "/4/0/2", "dBm", ((None, RED), (-110, ORANGE), (-95, GREEN))))
        .with_panel(_latest("free memory", "/3/0/10", "kbytes", ((None, GREEN),)))
        .with_panel(
            number(
                "operations that wait",
                f"SELECT count(*) FROM endpoint_operation WHERE endpoint_id = {THIS} AND status = 'QUEUED'",
                steps=((None, GREEN), (1, ORANGE)),
            )
        )
        .with_panel(
            chart(
                "$path",
                f"""
                SELECT time, minimum, mean, maximum
                FROM series(ARRAY[${{endpoint:sqlstring}}], ARRAY[${{path:sqlstring}}],
                            $__timeFrom(), $__timeTo(), {BUCKETS})
                ORDER BY time
                """,
                width=24,
            )
            .repeat("path")
            .repeat_direction("h")
            .max_per_row(2)
        )
        .with_panel(
            rows(
                "latest values",
                f"""
                SELECT l.path, t.name, l.value, t.units, l.time, extract(epoch FROM now() - l.time) AS age
                FROM telemetry_latest l JOIN resource_type t USING (object_id, resource_id)
                WHERE l.endpoint = ${{endpoint:sqlstring}}
                ORDER BY object_id, object_instance_id, resource_id, resource_instance_id
                LIMIT {MAX_CHOICES}
                """,
                units=(("age", "s"),),
                link=TELEMETRY_LINK,
                description="A path leads to the resource over time, beside other devices'.",
            )
        )
        .with_panel(
            rows(
                "operations",
                f"""
                SELECT id, created_at AS created, operation_type AS operation, {PATHS} AS path, status,
                       attempts, finished_at AS finished, reason
                FROM endpoint_operation WHERE endpoint_id = {THIS} ORDER BY id DESC LIMIT 200
                """,
            )
        )
        .with_panel(
            rows(
                "log",
                """
                SELECT time, severity_name AS severity, source, message
                FROM log_entry
                WHERE endpoint = ${endpoint:sqlstring} AND $__timeFilter(time)
                ORDER BY time DESC LIMIT 200
                """,
                width=24,
                description="Entries of its log; what is no text is in hex.",
            )
        )
    )


def _registrations(event_type: str, colour: str) -> dashboard.AnnotationQuery:
    sql = f"""
        SELECT time, event_type AS text FROM event
        WHERE endpoint_id = {THIS} AND event_type = '{event_type}' AND $__timeFilter(time)
        ORDER BY time LIMIT {MAX_CHOICES}
        """
    return note(event_type, sql, colour)


def _latest(title: str, path: str, unit: str, steps: Steps) -> stat.Panel:
    sql = f"""
        SELECT number FROM telemetry_latest
        WHERE endpoint = ${{endpoint:sqlstring}} AND path = '{path}'
        """
    return number(title, sql, unit=unit, steps=steps, description=f"The latest value of {path}.")
