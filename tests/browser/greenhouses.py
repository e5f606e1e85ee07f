"""What the screenshots show: greenhouses, halls and trackers of a nursery, as they are after some days."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.fixtures.browser import dead_letter
from tests.fixtures.firmware import cli, image
from tests.fixtures.nexus import Nexus, wait_for

GROUPS: Final = (
    "prefix=greenhouse-,count=5,notify=4s,lifetime=300,update=60s,objects=3+5+20+3303+3304",
    "prefix=hall-,start=101,count=4,notify=5s,lifetime=300,update=60s",
    "prefix=tracker-,start=2201,count=2,notify=0,sleepy,awake=2s,lifetime=3600,update=1800s,objects=3+5",
    "prefix=pump-,start=7,count=1,notify=7s,lifetime=600,update=120s,firmware=rolls-back",
    "prefix=pump-,start=8,count=1,notify=7s,lifetime=600,update=120s",
)
SILENT: Final = "pump-0008"
SHOWN: Final = "greenhouse-0003"
NAMES: Final = (
    *(f"greenhouse-{number:04}" for number in range(1, 6)),
    *(f"hall-{number:04}" for number in range(101, 105)),
    *("tracker-2201", "tracker-2202", "pump-0007", SILENT),
)
MODELS: Final = {
    "greenhouse": ("Fjord Sensors", "Climate 4"),
    "hall": ("Fjord Sensors", "Room 2"),
    "tracker": ("Northway", "T-9"),
    "pump": ("Aqvalis", "Flow 30"),
}
SITES: Final = ("lier", "ås", "stange")
PLAN: Final = [
    {"operation": "read", "paths": ["/3"]},
    {"operation": "observe", "paths": ["/3303/*/5700", "/3304/*/5700"], "attributes": {"pmax": 60}},
]

EARLIER_VALUES: Final = """
INSERT INTO resource (time, id, stored_at, endpoint_id, resource_type_id, object_instance_id, float_value)
SELECT at, nextval('resource_id_block'), at, l.endpoint_id, l.resource_type_id, 0,
       l.float_value + CASE t.object_id WHEN 3303 THEN 1 ELSE -2.5 END
       * (3 * (sin(radians(day - 135)) - sin(radians(today - 135)))
          + 0.5 * (sin(radians(day * 7)) - sin(radians(today * 7))) + random() - 0.5)
FROM resource_latest l
JOIN resource_type t ON t.id = l.resource_type_id
CROSS JOIN generate_series(now() - interval '25 h', now() - interval '2 min', interval '15 s') AS at
CROSS JOIN LATERAL (SELECT extract(epoch FROM at)::float8 / 240 AS day,
                           extract(epoch FROM now())::float8 / 240 AS today) AS degrees
WHERE t.object_id IN (3303, 3304) AND t.resource_id = 5700"""
"""A day of them, which ends where the device is now, and is warmest at 15:00; a degree has 240 seconds."""
EARLIER_CONTACTS: Final = """
INSERT INTO event (time, id, stored_at, endpoint_id, event_type)
SELECT at, nextval('event_id_block'), at, e.id, 'updated'
FROM endpoint e
CROSS JOIN generate_series(1, 47) AS n
CROSS JOIN LATERAL (SELECT now() - (n + 0.5) * make_interval(secs => e.lifetime) AS at)
WHERE mod(e.id * 7 + n * 13, 31) > mod(e.id, 3)"""


def furnish(nexus: Nexus, folder: Path) -> int:
    """Fill a world of GROUPS, whose devices are online, and return the number of its campaign."""
    for name in NAMES:
        describe(nexus, name)
    put(nexus, "profiles/climate", {"filter": "name==greenhouse-*", "priority": 200, "plan": PLAN})
    wait_for(lambda: nexus.latest(SHOWN, "/3304/0/5700"), 30, "humidity")
    for name in NAMES:
        nexus.queue(name, "read", "/3")
    for name in NAMES[:9]:
        nexus.await_idle(name, 30)
    nexus.sql("UPDATE endpoint SET first_seen_at = now() - interval '9 days'")
    nexus.sql(EARLIER_VALUES)
    nexus.sql(EARLIER_CONTACTS)
    add_what_went_wrong(nexus)
    campaign = reach_second_wave(nexus, folder)
    ask_devices(nexus)
    return campaign


def put(nexus: Nexus, path: str, body: Any) -> None:
    """Ask the REST API for a change."""
    answer = nexus.request("PUT", f"/function/api/v1/{path}", body, token=nexus.token("api"))
    assert answer.status < 300, answer


def describe(nexus: Nexus, name: str) -> None:
    """Give a device a maker, a model, a battery and tags."""
    kind, _, number = name.partition("-")
    maker, model = MODELS[kind]
    battery = 100 - int(number) * 37 % 71
    for path, value in (("/3/0/0", maker), ("/3/0/1", model), ("/3/0/9", battery)):
        nexus.control(name, "set", path=path, value=value)
    put(nexus, f"endpoints/{name}/tags/site", {"value": SITES[int(number) % len(SITES)]})


def add_what_went_wrong(nexus: Nexus) -> None:
    """Let a device be refused, one fall silent, and a value be one that cannot be stored."""
    nexus.sql(
        "INSERT INTO registration_refusal (endpoint, address, cause, count)"
        " VALUES ('greenhouse-0006', '192.0.2.44', 'wrong-key', 3)"
    )
    dead_letter(nexus, "hall-0104")
    nexus.control(SILENT, "stop")
    nexus.sql(
        "UPDATE endpoint SET last_seen_at = now() - interval '3 h', expires_at = now() - interval '170 min'"
        " WHERE name = %s",
        SILENT,
    )


def reach_second_wave(nexus: Nexus, folder: Path) -> int:
    """Start a campaign, and let its first wave succeed and its second one begin; return its number."""
    file = folder / "climate-2.4.0.bin"
    file.write_bytes(image("2.4.0"))
    sent = cli(nexus, "firmware", "upload", str(file), "--version", "2.4.0", "--label", "spring")
    assert sent.returncode == 0, sent.stderr
    rules = ("--waves", "1,7,rest", "--soak", "1", "--approval", "--failures", "40", "--seed", "3")
    made = cli(nexus, "campaign", "create", "spring-rollout", "spring", *rules, "--yes", "--json")
    assert made.returncode == 0, made.stderr
    campaign = int(json.loads(made.stdout)["id"])
    wait_for(lambda: ended(nexus, campaign, 1) == 1, 60, "the first wave")
    opened = cli(nexus, "campaign", "next-wave", str(campaign))
    assert opened.returncode == 0, opened.stderr
    wait_for(lambda: ended(nexus, campaign, 2) >= 6, 90, "most of the second wave")
    return campaign


def ended(nexus: Nexus, campaign: int, wave: int) -> int:
    """Return how many updates of a wave have ended."""
    [row] = nexus.sql(
        "SELECT count(u.finished_at) AS n FROM campaign_target t JOIN firmware_update u ON u.id = t.update_id"
        " WHERE t.campaign_id = %s AND t.wave = %s",
        campaign,
        wave,
    )
    return int(row["n"])


def ask_devices(nexus: Nexus) -> None:
    """Queue operations: some are confirmed, some wait, one fails."""
    nexus.write("tracker-2201", "/3/0/15", "Europe/Oslo")
    nexus.queue("tracker-2202", "read", "/3/0/9")
    nexus.queue(SILENT, "execute", "/3/0/4")
    done = [
        nexus.write("greenhouse-0001", "/3/0/15", "Europe/Oslo"),
        nexus.queue("greenhouse-0004", "read", "/3303/0/5700"),
        nexus.queue("greenhouse-0002", "execute", "/3303/0/5605"),
        nexus.queue(SHOWN, "read", "/3304/0/5700"),
    ]
    failed = nexus.queue("hall-0102", "read", "/3304/0/5700")
    nexus.await_status(failed, "FAILED", 30)
    done.append(nexus.write(SHOWN, "/3/0/15", "Europe/Oslo"))
    for each in done:
        nexus.await_status(each, "CONFIRMED", 30)
