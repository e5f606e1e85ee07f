"""Operations: queue one, look at one until it ends, list them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any
from urllib.parse import urlencode

from cli.client import Client
from cli.text import printable

POLL_INTERVAL_S = 0.5
ENDED = ("CONFIRMED", "FAILED", "CANCELLED")
NOT_CONFIRMED = 3
"""The exit status where an operation ended otherwise than as CONFIRMED."""
STILL_OPEN = 4
"""The exit status where an operation did not end while it was waited for."""


def queue(client: Client, given: argparse.Namespace) -> int:
    """Queue what the command line says, and wait for its end with --wait."""
    body = {"endpoint": given.endpoint, "operation": given.command, "path": given.path}
    if given.command == "write":
        body["value"] = {"type": given.type, "value": given.value} if given.type else given.value
    if given.command == "execute" and given.arguments is not None:
        body["arguments"] = given.arguments
    operation = client.request("POST", "/", body)
    return _follow(client, operation, given)


def show(client: Client, given: argparse.Namespace) -> int:
    """Show an operation, and wait for its end with --wait."""
    return _follow(client, client.request("GET", f"/{given.id}"), given)


def list_(client: Client, given: argparse.Namespace) -> int:
    """List operations, the newest first."""
    query = {"limit": given.limit, **({"endpoint": given.endpoint} if given.endpoint else {})}
    found = client.request("GET", f"/?{urlencode(query)}")["operations"]
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        for operation in found:
            _print(operation)
    return 0


def _follow(client: Client, operation: Any, given: argparse.Namespace) -> int:
    deadline = time.monotonic() + given.timeout
    shown = None
    while True:
        if not given.json and operation["status"] != shown:
            _print(operation)
            shown = operation["status"]
        if not given.wait or operation["status"] in ENDED or time.monotonic() > deadline:
            break
        time.sleep(POLL_INTERVAL_S)
        operation = client.request("GET", f"/{operation['id']}")
    if given.json:
        sys.stdout.write(json.dumps(operation) + "\n")
    if not given.wait or operation["status"] == "CONFIRMED":
        return 0
    if operation["status"] in ENDED:
        return NOT_CONFIRMED
    sys.stderr.write(f"it has not ended; go on waiting: flownexus operation {operation['id']} --wait\n")
    return STILL_OPEN


def _print(operation: Any) -> None:
    what = f"{operation['operation']} {operation['endpoint']} {operation.get('path') or ''}".rstrip()
    reason = f": {operation['reason']}" if operation["reason"] else ""
    shown = f"operation {operation['id']}  {what}  {operation['status']}{reason}{_value(operation)}"
    sys.stdout.write(printable(shown) + "\n")
    sys.stdout.flush()


def _value(operation: Any) -> str:
    """Return what a read of a resource brought, to be shown."""
    content = (operation["result"] or {}).get("content")
    if not isinstance(content, dict):
        return ""
    if "values" in content:
        return f"  {json.dumps(content['values'], ensure_ascii=False)}"
    return f"  {content['value']}" if "value" in content else ""
