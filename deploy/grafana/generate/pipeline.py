"""The pipeline: how fast values come, how late they are, what could not be stored."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat

from deploy.grafana.generate.parts import GREEN, MAX_ROWS, ORANGE, RED, board, chart, number, rows

# By the primary key, backwards: however many rows there are, these are few.
NEWEST = f"""(
        SELECT time, stored_at FROM resource WHERE $__timeFilter(time)
        ORDER BY time DESC, id DESC LIMIT {MAX_ROWS}
    ) newest"""
LAG = "extract(epoch FROM stored_at - time)"
SAMPLES = 200


def pipeline() -> dashboard.Dashboard:
    """Return the dashboard of the way from device to row."""
    return (
        board("pipeline", "pipeline", "The way from a device's message to a row.")
        .with_panel(
            number(
                "values a second",
                "SELECT count(*) / 10.0 FROM resource WHERE time > now() - interval '10 s' AND time <= now()",
                description="Of the last ten seconds.",
            )
        )
        .with_panel(_lag("median", 0.5))
        .with_panel(_lag("99 %", 0.99))
        .with_panel(
            number(
                "dead letters",
                "SELECT count(*) FROM dead_letter WHERE $__timeFilter(received_at)",
                steps=((None, GREEN), (1, ORANGE), (1000, RED)),
                description="Items of this time that could not be stored; the reason is in each.",
            )
        )
        .with_panel(
            number(
                "numbers never seen",
                "SELECT coalesce(sum(gaps), 0) FROM delivery_mark",
                steps=((None, GREEN), (1, RED)),
                description="Items that Leshan numbered and that no function has seen.",
            )
        )
        .with_panel(
            number(
                "since the last batch",
                "SELECT extract(epoch FROM now() - max(moved_at)) FROM delivery_mark",
                unit="s",
                steps=((None, GREEN), (60, ORANGE), (600, RED)),
            )
        )
        .with_panel(
            chart(
                "from device to row",
                f"""
                SELECT at.start AS time, percentile_cont(0.5) WITHIN GROUP (ORDER BY {LAG}) AS median,
                       max({LAG}) AS highest
                FROM (SELECT $__timeFrom()::timestamptz + step * length AS start, length
                      FROM generate_series(0, {SAMPLES} - 1) step,
                           (SELECT ($__timeTo()::timestamptz - $__timeFrom()) / {SAMPLES} AS length) one) at
                CROSS JOIN LATERAL (
                    SELECT time, stored_at FROM resource
                    WHERE time >= at.start AND time < at.start + at.length
                    ORDER BY time DESC, id DESC LIMIT {MAX_ROWS} / {SAMPLES}) sample
                GROUP BY 1 ORDER BY 1
                """,
                unit="s",
                description=f"Of the newest {MAX_ROWS // SAMPLES} values of each of {SAMPLES} parts of this"
                " time. Values that a device kept and sent later are late here, too.",
            )
        )
        .with_panel(
            chart(
                "dead letters over time",
                """
                SELECT date_bin($__interval_ms * interval '1 ms', received_at, $__timeFrom()) AS time,
                       kind AS metric, count(*) AS value
                FROM dead_letter WHERE $__timeFilter(received_at) GROUP BY 1, 2 ORDER BY 1
                """,
                bars=True,
            )
        )
        .with_panel(
            rows(
                "dead letters by reason",
                """
                SELECT kind, left(reason, 200) AS reason, count(*), max(received_at) AS last
                FROM dead_letter WHERE $__timeFilter(received_at)
                GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 200
                """,
            )
        )
        .with_panel(
            rows(
                "deliveries",
                """
                SELECT kind, lane, mark, gaps, moved_at AS moved, source
                FROM delivery_mark ORDER BY moved_at DESC LIMIT 200
                """,
                description="The highest number stored of each source, kind of webhook and lane.",
            )
        )
    )


def _lag(name: str, share: float) -> stat.Panel:
    sql = f"SELECT percentile_cont({share}) WITHIN GROUP (ORDER BY {LAG}) FROM {NEWEST}"
    return number(
        f"from device to row, {name}",
        sql,
        unit="s",
        steps=((None, GREEN), (5, ORANGE), (60, RED)),
        description=f"Of the newest {MAX_ROWS} values of this time.",
    )
