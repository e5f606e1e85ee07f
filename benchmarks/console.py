"""Shows that the console is quick beside what benchmarks/growth.py has stored, and follows what changes.

10,000 endpoints are known, and 1,000 of them have values. Each page is asked for through the gateway by the
session of an administrator, as a browser asks for it. Then 100 pages of devices are open, each of which asks
for what changed as its script does, while values are stored: how long after its commit each is there, and
whether it is, is counted for longer than the gateway waits for any answer.
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Final, NamedTuple
from urllib.parse import urlencode

from benchmarks import growth, reading
from benchmarks.results import Result
from flownexus.accounts.tokens import digest, new_token
from flownexus.settings import Timeouts
from local import web
from local.world import World

CONSOLE: Final = "/function/console"
DEVICE: Final = urlencode({"name": "sim-0100"})
PATH: Final = "/3303/0/5700"
PAGES: Final = (
    *("/", f"/?columns={PATH},/3/0/9", "/?filter=name==sim-*;presence==registered&sort=contact"),
    "/?filter=099",  # a part of a name
    *(f"/device?{DEVICE}", f"/device?{DEVICE}&chart={PATH}&span=1y", f"/device/log?{DEVICE}"),
    *("/batch?filter=name==sim-*", "/operations", "/refused", "/firmware", "/updates", "/campaigns"),
    *("/profiles", "/models", "/dead-letters", "/health", "/users", "/audit", "/me", "/me/tokens"),
)
REQUESTS: Final = 20  # of each page in a run
OPEN: Final = 100  # pages
OPENED_S: Final = 10.3  # in which they are; no whole number, so that they ask at different times
WAVE: Final = 25  # devices that have a new value at once
WAVE_EVERY_S: Final = 1.0
VALUES: Final = 100_000  # that a run may tell of: another one tells of others
SETTLED_S: Final = 2.0
NOTHING_NEW: Final = 204
BUSY: Final = 429  # the page asks again
FOLLOWED_S: Final = Timeouts.of(30).gateway_s + 15
LAST_S: Final = 10.0  # for what was committed last to be seen


class Answer(NamedTuple):
    """An answer: when its first byte came and when it was whole, in milliseconds, and what it is."""

    status: int
    first_ms: float
    whole_ms: float
    size: int
    body: bytes


def run(runs: int) -> Sequence[Result]:
    """Fill one system, and measure so often."""
    with growth.system() as (world, database):
        growth.fill(world.database_url, database)
        growth.roll_up(database)
        reading.know(database, growth.ENDPOINTS)
        cookie = _session(database)
        found = [_measure(world, cookie) for _ in range(runs)]
        followed = [_follow(world, cookie, 7_000_000 + VALUES * turn) for turn in range(runs)]
    beside = f"beside {2 * growth.ROWS // 1_000_000} million values of {growth.ENDPOINTS:,} devices"
    worst = max(found[0].pages, key=lambda page: found[0].pages[page])
    return [
        Result(
            "console: first byte of the slowest page", "ms p95",
            [max(each.pages.values()) for each in found], 150, "at most", f"{worst}, {beside}",
        ),
        Result("console: the fleet, compressed", "kB", [each.fleet_kb for each in found], 60),
        Result("console: a year's chart", "ms p95", [each.chart for each in found], 200),
        Result("console: points of a year's chart", "points", [each.points for each in found], 2000),
        Result("console: palette", "ms p95", [each.palette for each in found], 100),
        Result(
            "console: from commit to the page, 100 pages open", "s p95", [each.p95_s for each in followed], 1,
            "at most", f"median {statistics.median(each.median_s for each in followed):.2f} s;"
            f" {sum(each.refused for each in followed)} requests refused as too many at once, and sent again",
        ),
        Result(
            "console: values that a page missed", "values", [each.missed for each in followed], 0, "at most",
            f"of {followed[0].told:,} in {FOLLOWED_S:.0f} s",
        ),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------
# Pages, one after the other


class Measured(NamedTuple):
    """What a run gave: p95 in milliseconds."""

    pages: Mapping[str, float]
    fleet_kb: float
    chart: float
    points: int
    palette: float


def _measure(world: World, cookie: str) -> Measured:
    port = world.ports.gateway
    year = {"from": datetime.now(UTC) - timedelta(days=365), "to": datetime.now(UTC)}
    span = urlencode({name: at.isoformat() for name, at in year.items()})
    chart = f"/series?{DEVICE}&path={PATH}&{span}"
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        pages = {
            page: _p95([_ask(connection, page, cookie).first_ms for _ in range(REQUESTS)]) for page in PAGES
        }
        charts = [_ask(connection, chart, cookie, gzip=False) for _ in range(REQUESTS)]
        palette = [_ask(connection, f"/palette?q=sim-0{n:02}", cookie).whole_ms for n in range(REQUESTS)]
        return Measured(
            pages,
            _ask(connection, "/", cookie).size / 1000,
            _p95([each.whole_ms for each in charts]),
            len(json.loads(charts[0].body)["times"]),
            _p95(palette),
        )


def _p95(took: Sequence[float]) -> float:
    return statistics.quantiles(took, n=20)[-1]


def _ask(
    connection: http.client.HTTPConnection,
    path: str,
    cookie: str,
    *,
    gzip: bool = True,
    statuses: Sequence[int] = (200,),
) -> Answer:
    began = time.perf_counter()
    head = {"Cookie": cookie, "HX-Request": "true"} if path.startswith("/live/") else {"Cookie": cookie}
    connection.request(
        "GET", CONSOLE + path, headers={**head, **({"Accept-Encoding": "gzip"} if gzip else {})}
    )
    response = connection.getresponse()
    first = response.read(1)
    came = time.perf_counter()
    body = first + response.read()
    if response.status not in statuses:
        raise RuntimeError(f"{path}: {response.status} {body[:500]!r}")
    whole = time.perf_counter()
    return Answer(response.status, (came - began) * 1000, (whole - began) * 1000, len(body), body)


def _session(database: growth.Database) -> str:
    """Return the cookie of an administrator's session."""
    token = new_token()
    database.execute(
        "WITH added AS (INSERT INTO console_user (name, role, password_hash)"
        " VALUES ('bench', 'admin', '-') RETURNING id)"
        " INSERT INTO console_session (token_hash, user_id, is_complete, expires_at, address, browser)"
        " SELECT %s, id, true, now() + interval '1 day', 'bench', 'bench' FROM added",
        [digest(token)],
    )
    return f"flownexus-session={token}"


# ---------------------------------------------------------------------------------------------------------
# Pages that stay open


class Followed(NamedTuple):
    """How long after its commit a value was there, how many were told, and how many never came.

    `refused` is how often a page was to ask again, since too many asked at once.
    """

    p95_s: float
    median_s: float
    told: int
    missed: int
    refused: int


class OpenPage(threading.Thread):
    """A page of a device that asks for what changed until it is closed; notes when each value was there."""

    def __init__(self, port: int, name: str, cookie: str) -> None:
        super().__init__(daemon=True)
        self._port, self._name, self._cookie = port, name, cookie
        self.closed = threading.Event()
        self.seen: dict[str, float] = {}
        self.refused = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Ask."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  # the main thread raises it
            self.error = error

    def _run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            page = _ask(
                connection, f"/device?{urlencode({'name': self._name})}", self._cookie, gzip=False
            ).body
            every_s = _every_s(page)
            due = time.monotonic() + every_s
            while not self.closed.wait(max(0.0, due - time.monotonic())):
                answer = _ask(
                    connection, _live(page), self._cookie, gzip=False, statuses=(200, NOTHING_NEW, BUSY)
                )
                now = time.monotonic()
                if answer.status == 200:  # the part has a trigger of its own, whose time begins anew
                    page, due = answer.body, now + every_s
                    for value in re.findall(rb"\b(7[0-9]{6}\.5)\b", page):
                        self.seen.setdefault(value.decode(), now)
                else:
                    due = max(due + every_s, now)
                    self.refused += answer.status == BUSY


def _live(page: bytes) -> str:
    return unescape(_asking(page)[1].decode()).removeprefix(CONSOLE)


def _every_s(page: bytes) -> float:
    return int(_asking(page)[2]) / 1000


def _asking(page: bytes) -> re.Match[bytes]:
    found = re.search(rb'id="live" hidden hx-get="([^"]+)" hx-trigger="every ([0-9]+)ms"', page)
    if found is None:
        raise RuntimeError(f"the page does not ask for what changed: {page[:300]!r}")
    return found


def _follow(world: World, cookie: str, next_value: int) -> Followed:
    """Open pages, store values of their devices from `next_value` on, and look when each was there."""
    names = [f"sim-{number:04}" for number in range(OPEN)]
    pages = {name: OpenPage(world.ports.gateway, name, cookie) for name in names}
    for page in pages.values():
        page.start()
        time.sleep(OPENED_S / OPEN)  # people do not open them all at once
    time.sleep(SETTLED_S)
    committed: dict[tuple[str, str], float] = {}
    token = web.bearer(world.secrets.read("flownexus-webhook-token"))
    ends = time.monotonic() + FOLLOWED_S
    while time.monotonic() < ends:
        began, wave = time.monotonic(), []
        first = next_value % OPEN
        for place in range(WAVE):
            wave.append((names[(first + place) % OPEN], f"{next_value}.5"))
            next_value += 1
        status, text = web.request(
            world.ports.gateway, "POST", "/function/ingest-single", body=list(map(_item, wave)), headers=token
        )
        if status != 200:
            raise RuntimeError(f"{status} {text}")
        now = time.monotonic()
        committed |= dict.fromkeys(wave, now)
        time.sleep(max(0.0, began + WAVE_EVERY_S - time.monotonic()))
    time.sleep(LAST_S)
    for page in pages.values():
        page.closed.set()
    for page in pages.values():
        page.join(60)
        if page.error is not None:
            raise page.error
    took = [
        pages[name].seen[value] - at for (name, value), at in committed.items() if value in pages[name].seen
    ]
    return Followed(
        _p95(took),
        statistics.median(took),
        len(committed),
        len(committed) - len(took),
        sum(page.refused for page in pages.values()),
    )


def _item(told: tuple[str, str]) -> dict[str, object]:
    name, value = told
    node = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": value}
    return {"ep": name, "obj_id": 3303, "inst_id": 0, "ts": round(time.time() * 1000), "val": node}
