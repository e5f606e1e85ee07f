"""Firmware: updates that are open, how those that ended did, how far downloads and campaigns are."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.generate.parts import DEVICE_LINK, GREEN, ORANGE, RED, board, chart, number, rows

BUCKET = "date_bin($__interval_ms * interval '1 ms', finished_at, $__timeFrom())"


def firmware() -> dashboard.Dashboard:
    """Return the dashboard of firmware updates and campaigns."""
    return (
        board("firmware", "firmware", "Updates of devices by firmware packages, and campaigns of many.")
        .with_panel(number("open updates", "SELECT count(*) FROM firmware_update WHERE finished_at IS NULL"))
        .with_panel(
            number(
                "download now",
                """
                SELECT count(*) FROM firmware_update u JOIN firmware_download d ON d.update_id = u.id
                WHERE u.state = 'DOWNLOADING' AND d.moved_at > now() - interval '1 minute'
                """,
            )
        )
        .with_panel(
            number(
                "downloads that stall",
                """
                SELECT count(*) FROM firmware_update u LEFT JOIN firmware_download d ON d.update_id = u.id
                WHERE u.state = 'DOWNLOADING'
                  AND greatest(u.since, d.moved_at) < now() - interval '10 minutes'
                """,
                steps=((None, GREEN), (1, ORANGE)),
                description="Nothing was served to the device for ten minutes.",
            )
        )
        .with_panel(
            number(
                "confirmed",
                """
                SELECT count(*) FILTER (WHERE state = 'CONFIRMED')::float
                       / nullif(count(*) FILTER (WHERE state IN ('CONFIRMED', 'FAILED')), 0)
                FROM firmware_update WHERE $__timeFilter(finished_at)
                """,
                unit="percentunit",
                steps=((None, RED), (0.9, ORANGE), (0.99, GREEN)),
                description="Of those that ended in this time.",
            )
        )
        .with_panel(
            number(
                "time to confirm, median",
                """
                SELECT percentile_cont(0.5) WITHIN GROUP (
                    ORDER BY extract(epoch FROM finished_at - created_at))
                FROM firmware_update WHERE state = 'CONFIRMED' AND $__timeFilter(finished_at)
                """,
                unit="s",
            )
        )
        .with_panel(
            number(
                "campaigns that stopped",
                "SELECT count(*) FROM campaign WHERE status = 'STOPPED'",
                steps=((None, GREEN), (1, RED)),
            )
        )
        .with_panel(
            chart(
                "updates that ended",
                f"""
                SELECT {BUCKET} AS time,
                       count(*) FILTER (WHERE state = 'CONFIRMED') AS confirmed,
                       count(*) FILTER (WHERE state = 'FAILED') AS failed,
                       count(*) FILTER (WHERE state = 'CANCELLED') AS cancelled,
                       count(*) FILTER (WHERE state = 'SKIPPED') AS skipped
                FROM firmware_update WHERE $__timeFilter(finished_at) GROUP BY 1 ORDER BY 1
                """,
                bars=True,
            )
        )
        .with_panel(
            rows(
                "campaigns",
                """
                SELECT c.id, c.name, f.version, c.status, c.wave,
                       count(*) FILTER (WHERE t.left_out IS NULL) AS devices,
                       count(*) FILTER (WHERE u.state IN ('CONFIRMED', 'SKIPPED')) AS succeeded,
                       count(*) FILTER (WHERE u.state = 'FAILED') AS failed,
                       count(*) FILTER (WHERE u.id IS NOT NULL AND u.finished_at IS NULL) AS open,
                       c.words
                FROM campaign c
                JOIN firmware f ON f.id = c.firmware_id
                LEFT JOIN campaign_target t ON t.campaign_id = c.id
                LEFT JOIN firmware_update u ON u.id = t.update_id
                GROUP BY c.id, f.version ORDER BY c.id DESC LIMIT 50
                """,
            )
        )
        .with_panel(
            rows(
                "failures by kind",
                """
                SELECT u.failure, f.version, count(*), max(u.finished_at) AS last, max(u.words) AS example
                FROM firmware_update u JOIN firmware f ON f.id = u.firmware_id
                WHERE u.state = 'FAILED' AND $__timeFilter(u.finished_at)
                GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 200
                """,
            )
        )
        .with_panel(
            rows(
                "open updates, the longest first",
                """
                SELECT e.name AS endpoint, u.id, f.version, u.state, u.tries,
                       extract(epoch FROM now() - u.since) AS "for",
                       d.reached::float / f.size_bytes AS downloaded, e.registered, u.words
                FROM firmware_update u
                JOIN endpoint e ON e.id = u.endpoint_id
                JOIN firmware f ON f.id = u.firmware_id
                LEFT JOIN firmware_download d ON d.update_id = u.id
                WHERE u.finished_at IS NULL ORDER BY u.since LIMIT 200
                """,
                units=(("for", "s"), ("downloaded", "percentunit")),
                link=DEVICE_LINK,
            )
        )
    )
