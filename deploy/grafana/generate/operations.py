"""Operations: what waits, what became of those that were sent."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.generate.parts import DEVICE_LINK, GREEN, ORANGE, PATHS, RED, board, chart, number, rows

BUCKET = "date_bin($__interval_ms * interval '1 ms', created_at, $__timeFrom())"


def operations() -> dashboard.Dashboard:
    """Return the dashboard of operations."""
    return (
        board("operations", "operations", "Reads, writes, executes and observations sent to devices.")
        .with_panel(number("waiting", "SELECT count(*) FROM endpoint_operation WHERE status = 'QUEUED'"))
        .with_panel(number("under way", "SELECT count(*) FROM endpoint_operation WHERE status = 'SENDING'"))
        .with_panel(
            number(
                "the longest wait of a registered device",
                """
                SELECT coalesce(extract(epoch FROM now() - min(o.created_at)), 0)
                FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id
                WHERE o.status = 'QUEUED' AND e.registered
                """,
                unit="s",
                steps=((None, GREEN), (900, ORANGE), (86400, RED)),
            )
        )
        .with_panel(
            number(
                "confirmed",
                """
                SELECT count(*) FILTER (WHERE status = 'CONFIRMED')::float
                       / nullif(count(*) FILTER (WHERE status IN ('CONFIRMED', 'FAILED')), 0)
                FROM endpoint_operation WHERE $__timeFilter(created_at)
                """,
                unit="percentunit",
                steps=((None, RED), (0.9, ORANGE), (0.99, GREEN)),
                description="Of those created in this time that have ended.",
            )
        )
        .with_panel(
            number(
                "time to confirm, median",
                """
                SELECT percentile_cont(0.5) WITHIN GROUP (
                    ORDER BY extract(epoch FROM finished_at - created_at))
                FROM endpoint_operation WHERE status = 'CONFIRMED' AND $__timeFilter(created_at)
                """,
                unit="s",
            )
        )
        .with_panel(
            number(
                "attempts of one, mean",
                """
                SELECT avg(attempts) FROM endpoint_operation
                WHERE status IN ('CONFIRMED', 'FAILED') AND $__timeFilter(created_at)
                """,
            )
        )
        .with_panel(
            chart(
                "created, by what became of them",
                f"""
                SELECT {BUCKET} AS time,
                       count(*) FILTER (WHERE status = 'CONFIRMED') AS confirmed,
                       count(*) FILTER (WHERE status = 'FAILED') AS failed,
                       count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled,
                       count(*) FILTER (WHERE status = 'EXPIRED') AS expired,
                       count(*) FILTER (WHERE status IN ('QUEUED', 'SENDING')) AS open
                FROM endpoint_operation WHERE $__timeFilter(created_at) GROUP BY 1 ORDER BY 1
                """,
                bars=True,
            )
        )
        .with_panel(
            chart(
                "time to confirm",
                f"""
                SELECT {BUCKET} AS time,
                       percentile_cont(0.5) WITHIN GROUP (
                           ORDER BY extract(epoch FROM finished_at - created_at)) AS median,
                       percentile_cont(0.95) WITHIN GROUP (
                           ORDER BY extract(epoch FROM finished_at - created_at)) AS "95 %"
                FROM endpoint_operation
                WHERE status = 'CONFIRMED' AND $__timeFilter(created_at) GROUP BY 1 ORDER BY 1
                """,
                unit="s",
            )
        )
        .with_panel(
            rows(
                "failures by reason",
                f"""
                SELECT operation_type AS operation, {PATHS} AS path, reason, count(*),
                       count(DISTINCT endpoint_id) AS devices, max(finished_at) AS last
                FROM endpoint_operation WHERE status = 'FAILED' AND $__timeFilter(created_at)
                GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 200
                """,
            )
        )
        .with_panel(
            rows(
                "the longest waits",
                f"""
                SELECT e.name AS endpoint, o.id, o.operation_type AS operation, {PATHS} AS path, o.attempts,
                       o.created_at AS created, extract(epoch FROM now() - o.created_at) AS waits,
                       e.registered, o.reason AS "last reason"
                FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id
                WHERE o.status IN ('QUEUED', 'SENDING') ORDER BY o.created_at LIMIT 200
                """,
                units=(("waits", "s"),),
                link=DEVICE_LINK,
            )
        )
    )
