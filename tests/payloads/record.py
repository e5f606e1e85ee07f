"""Record what our Leshan posts and answers, from a simulated device: python -m tests.payloads.record

Writes beside this file recorded-<webhook>-<what>.json, each the body of one post as it came, and
answered-<what>.json, each what a user asks and Leshan's answer to it; laid out for people. Run it again when
Leshan's webhooks or REST API change. tests/integration/test_recorded.py says what the posts mean,
tests/unit/functions/dispatch-op what the answers do.
"""

from __future__ import annotations

import contextlib
import json
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flownexus.leshan.requests import call_of
from flownexus.operations.new_operation import parse_operation
from local import web
from local.options import Options, Ports
from local.world import World
from tests.fixtures.device import Device
from tests.fixtures.nexus import Nexus

FOLDER = Path(__file__).parent
ENDPOINT = "sim-0001"
TIMEOUT = 10.0
QUIET = 0.2
"""Seconds for posts under way to come, before what is to be recorded happens."""
TEMPERATURE = "/3303/0/5700"

Posts = queue.Queue[tuple[str, dict[str, Any]]]


@contextlib.contextmanager
def recorder(port: int) -> Iterator[Posts]:
    """Take posts on a port, as the functions do, and hand on their webhook and body."""
    posts: Posts = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            count = len(body["items"])
            answer = {"stored": count, "skipped": 0, "mark": body["first_seq"] + count - 1, "rejected": []}
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            posts.put((self.path.rpartition("/")[2], body))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield posts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def record(posts: Posts, what: str, webhook: str, act: Callable[[], object], items: int = 1) -> None:
    """Do something, until one of the webhooks gets a body of so many items by it, and keep that.

    An idle lane posts at once what it has: not always all that was said at once is in one body.
    """
    body: dict[str, Any] = {"items": []}
    while len(body["items"]) != items:
        time.sleep(QUIET)
        while not posts.empty():
            posts.get()
        act()
        got = ""
        while got != webhook:
            got, body = posts.get(timeout=TIMEOUT)
    keep(f"recorded-{webhook}-{what}.json", body)


def keep(name: str, recorded: Any) -> None:
    """Write a file beside this one."""
    (FOLDER / name).write_text(json.dumps(recorded, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(name)


ASKED: dict[str, dict[str, Any]] = {
    "read": {"operation": "read", "path": "/3303/0"},
    "write": {"operation": "write", "path": "/1/0/1", "value": {"type": "INTEGER", "value": "240"}},
    "execute": {"operation": "execute", "path": "/3303/0/5605"},
    "discover": {"operation": "discover", "path": "/3303/0"},
    "not-found": {"operation": "read", "path": "/3303/7/5700"},
    "not-registered": {"endpoint": "nobody", "operation": "read", "path": "/3/0"},
}
"""What is asked of the device, by REST as a user asks it."""


def main() -> None:
    """Run Leshan and one device, and record."""
    with tempfile.TemporaryDirectory() as home:
        options = Options(
            home=Path(home) / "home",
            ports=Ports.any_free(),
            parts=frozenset({"leshan", "simulator"}),
            groups=("prefix=sim-,count=1,notify=0,lifetime=300,update=300s",),
            plain_coap=("raw-*",),
        )
        world = World(replace(options, ports=options.ports.settled()))
        nexus = Nexus(world)

        def rest(method: str, path: str, endpoint: str = ENDPOINT) -> None:
            status, text = web.request(
                world.ports.leshan,
                method,
                f"/api/clients/{endpoint}{path}",
                headers=web.bearer(nexus.token("leshan")),
            )
            assert status == 200, text
            assert json.loads(text)["success"], text

        def answer(what: str, asked: dict[str, Any]) -> None:
            body = {"endpoint": ENDPOINT, **asked}
            new = parse_operation(body)
            call = call_of(new.operation)
            status, text = web.request(
                world.ports.leshan,
                call.method,
                f"/api/clients/{new.endpoint}{call.path}?{urlencode(call.query)}",
                body=call.json,
                headers=web.bearer(nexus.token("leshan")) | {"Content-Type": "application/json"},
            )
            keep(f"answered-{what}.json", {"asked": body, "status": status, "body": json.loads(text)})

        def do(action: str, **query: Any) -> Callable[[], None]:
            def act() -> None:
                assert nexus.control(ENDPOINT, action, **query).get("result", "2.04") == "2.04"

            return act

        with recorder(world.ports.gateway) as posts, contextlib.ExitStack() as stack:
            record(posts, "registered", "registration", lambda: stack.enter_context(world))
            rest("POST", f"{TEMPERATURE}/observe")
            record(posts, "float", "single", do("set", path=TEMPERATURE, value="24.9"))
            rest("DELETE", f"{TEMPERATURE}/observe?active")
            rest("POST", "/3/0/7/observe")
            record(posts, "multi-resource", "single", do("set", path="/3/0/7/1", value="4987"))
            rest("DELETE", "/3/0/7/observe?active")
            rest("POST", "/3/0/15/observe")
            record(posts, "string", "single", do("set", path="/3/0/15", value="Europe/Zürich \N{SNOWMAN}"))
            rest("DELETE", "/3/0/15/observe?active")
            rest("POST", "/3303/0/observe")
            record(posts, "instance-observation", "composite", do("set", path=TEMPERATURE, value="25.1"))
            rest("DELETE", "/3303/0/observe?active")
            rest("POST", "/3303/observe")
            record(posts, "object-observation", "composite", do("set", path=TEMPERATURE, value="25.2"))
            rest("DELETE", "/3303/observe?active")
            paths = f"?paths={TEMPERATURE},/3/0/9"
            rest("POST", f"/composite/observe{paths}")
            record(posts, "composite-observation", "composite", do("set", path=TEMPERATURE, value="25.3"))
            rest("DELETE", f"/composite/observe{paths}&active")
            record(posts, "send", "composite", do("send", path=f"{TEMPERATURE},/3/0/9,/3/0/0"))
            record(
                posts,
                "timestamped-send",
                "composite",
                do("send", path=f"{TEMPERATURE},/3/0/9", timestamps=3),
                items=3,
            )
            other = Device(world.ports.coap, "raw-0001", {"/3303/2/5700": "21.5"})
            other.register()
            rest("POST", "/3303/2/5700/observe", other.endpoint)
            record(posts, "instance-2", "single", lambda: other.notify("/3303/2/5700", "22.5"))
            other.deregister()
            other.close()
            for what, asked in ASKED.items():
                answer(what, asked)
            record(posts, "updated", "registration", do("update"))
            record(posts, "unregistered", "registration", do("deregister"))


if __name__ == "__main__":
    main()
