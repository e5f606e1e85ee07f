"""All that is known of a device as one file, for who is asked to help; what is secret is not in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from flask import Response

from flownexus.lwm2m.secret import is_secret
from flownexus.operations.lifecycle import ENDED
from flownexus.store.activity import activity_of
from flownexus.store.device_log import LogSearch, search_log
from flownexus.store.endpoint_values import newest_values, show_endpoint
from flownexus.store.operation_requests import Operation, list_newest
from flownexus.store.operation_why import reasons_of
from flownexus.store.pool import Pool
from flownexus.store.refusal import list_refusals
from flownexus.store.tag import tags_of
from flownexus.web.console.app import Access, ConsoleApp
from flownexus.web.console.charts import file_name
from flownexus.web.console.devices import device_name

FORMAT: Final = "flownexus-support-bundle-1"
MAX_OPERATIONS: Final = 200
MAX_REASONS: Final = 20
"""Of so many operations that wait the bundle tells why."""
MAX_ACTIVITY: Final = 500
MAX_LINES: Final = 1_000
MAX_VALUES: Final = 5_000
MAX_REFUSALS: Final = 20
BLANK: Final = "(blanked)"


def add_bundle(app: ConsoleApp) -> None:
    """Add this route."""

    @app.get("/device/bundle", access=Access.OPERATOR)
    def bundle() -> Response:
        name = device_name()
        response = Response(
            msgspec.json.format(msgspec.json.encode(bundle_of(app.pool, name)), indent=1),
            mimetype="application/json",
        )
        file = f"support-{file_name(name)}.json"
        response.headers["Content-Disposition"] = f'attachment; filename="{file}"'
        return response


def bundle_of(pool: Pool, name: str) -> dict[str, Any]:
    """Return what is known of a device; raise NotFoundError where it was never seen."""
    operations = list_newest(pool, name, None, cursor=None, limit=MAX_OPERATIONS)
    waiting = [each.id for each in operations if each.status not in ENDED][:MAX_REASONS]
    return {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(),
        "endpoint": show_endpoint(pool, name).as_json(),
        "tags": tags_of(pool, name),
        "values": [
            each.as_json() | ({"value": BLANK} if is_secret(each.path) else {})
            for each in newest_values(pool, name, None, None, MAX_VALUES)
        ],
        "operations": [_without_secrets(each) for each in operations],
        "why": {str(id_): told for id_, told in reasons_of(pool, waiting).items()},
        "activity": [each.as_json() for each in activity_of(pool, name, MAX_ACTIVITY)],
        "log": [each.as_json() for each in search_log(pool, LogSearch(name), MAX_LINES)],
        "refusals": [each.as_json() for each in list_refusals(pool, name, None, MAX_REFUSALS)],
    }


def _without_secrets(operation: Operation) -> dict[str, Any]:
    shown = operation.as_json()
    if any(is_secret(path) for path in (operation.paths or [operation.path or ""])):
        shown |= {name: BLANK for name in ("value", "arguments", "result") if shown.get(name) is not None}
    return shown
