"""The fleet: how many devices are there, who is silent, which firmware they run."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.generate.parts import (
    DEVICE_LINK,
    GREEN,
    MAX_ROWS,
    ORANGE,
    RED,
    bars,
    board,
    chart,
    number,
    rows,
)

REGISTERED = "registered AND (expires_at IS NULL OR expires_at > now())"
ASLEEP = "presence(endpoint) = 'asleep'"

AGES = (
    ('"under 1 h"', "age < '1 h'"),
    ('"1 h to 1 day"', "age >= '1 h' AND age < '1 day'"),
    ('"1 to 7 days"', "age >= '1 day' AND age < '7 days'"),
    ('"over 7 days"', "age >= '7 days'"),
    ('"no value yet"', "age IS NULL"),
)


def fleet() -> dashboard.Dashboard:
    """Return the dashboard of all devices together."""
    return (
        board("fleet", "fleet", "All devices together.")
        .with_panel(number("registered", f"SELECT count(*) FROM endpoint WHERE {REGISTERED}"))
        .with_panel(
            number(
                "in queue mode, asleep",
                f"SELECT count(*) FROM endpoint WHERE {ASLEEP}",
                description="Registered in queue mode, and not heard for longer than they listen.",
            )
        )
        .with_panel(
            number(
                "offline",
                f"SELECT count(*) FROM endpoint WHERE ({REGISTERED}) IS NOT TRUE",
                steps=((None, GREEN), (1, ORANGE)),
                description="Deregistered, or their lifetime has passed without an update.",
            )
        )
        .with_panel(number("ever seen", "SELECT count(*) FROM endpoint"))
        .with_panel(
            number(
                "new in this time",
                "SELECT count(*) FROM endpoint WHERE $__timeFilter(first_seen_at)",
            )
        )
        .with_panel(
            number(
                "without a value for an hour",
                f"""
                SELECT count(*) FROM endpoint e
                WHERE {REGISTERED} AND NOT EXISTS (
                    SELECT FROM resource_latest l
                    WHERE l.endpoint_id = e.id AND l.time > now() - interval '1 h')
                """,
                steps=((None, GREEN), (1, ORANGE), (100, RED)),
            )
        )
        .with_panel(
            chart(
                "registrations",
                """
                SELECT date_bin($__interval_ms * interval '1 ms', time, $__timeFrom()) AS time,
                       count(*) FILTER (WHERE event_type = 'registered') AS registered,
                       count(*) FILTER (WHERE event_type = 'updated') AS updated,
                       count(*) FILTER (WHERE event_type = 'unregistered') AS unregistered
                FROM event
                WHERE $__timeFilter(time) AND event_type IN ('registered', 'updated', 'unregistered')
                GROUP BY 1 ORDER BY 1
                """,
                bars=True,
            )
        )
        .with_panel(
            bars(
                "silent, by age",
                f"""
                SELECT {", ".join(f"count(*) FILTER (WHERE {when}) AS {age}" for age, when in AGES)}
                FROM (SELECT now() - (
                          SELECT max(time) FROM resource_latest l WHERE l.endpoint_id = e.id) AS age
                      FROM endpoint e) silent
                """,
                description="How many devices have sent their last value so long ago.",
            )
        )
        .with_panel(
            rows(
                "firmware versions",
                f"""
                SELECT coalesce(l.string_value, '(not told)') AS version, count(*) AS devices
                FROM endpoint e
                LEFT JOIN resource_latest l ON l.endpoint_id = e.id AND l.object_instance_id = 0
                    AND l.resource_type_id = (
                        SELECT id FROM resource_type WHERE object_id = 3 AND resource_id = 3)
                GROUP BY 1 ORDER BY 2 DESC LIMIT {MAX_ROWS}
                """,
                description="By /3/0/3, the device's firmware version.",
            )
        )
        .with_panel(
            rows(
                "silent devices",
                f"""
                SELECT e.name AS endpoint, l.time AS "last value",
                       extract(epoch FROM now() - l.time) AS silent, e.last_seen_at AS "last seen",
                       {REGISTERED} AS registered
                FROM endpoint e
                LEFT JOIN LATERAL (
                    SELECT max(time) AS time FROM resource_latest WHERE endpoint_id = e.id) l ON true
                ORDER BY l.time NULLS FIRST, e.name LIMIT 200
                """,
                units=(("silent", "s"),),
                link=DEVICE_LINK,
                description="The 200 that have not sent a value for the longest time.",
            )
        )
        .with_panel(
            rows(
                "the newest devices",
                f"""
                SELECT name AS endpoint, first_seen_at AS "first seen", address, binding,
                       lifetime, {REGISTERED} AS registered
                FROM endpoint ORDER BY first_seen_at DESC LIMIT 200
                """,
                units=(("lifetime", "s"),),
                link=DEVICE_LINK,
                width=24,
            )
        )
    )
