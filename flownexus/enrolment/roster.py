"""A CSV file of devices that are to be enrolled."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

from flownexus.errors import ValidationFailedError

COLUMNS: Final = ("endpoint", "mode", "identity", "key", "expires_at")
_BYTE_ORDER_MARK: Final = "\ufeff"
"""With which spreadsheets begin a file."""


def read_roster(text: str, columns: Sequence[str] = COLUMNS) -> list[dict[str, str]]:
    """Return what is asked for of each device, by the names of columns, without what a row leaves empty.

    The mode, if any, is psk where a row says none. Raises ValidationFailedError where a column
    is unknown or missing, or a device is there twice: its files would be of one of both alone.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text.removeprefix(_BYTE_ORDER_MARK), newline="")))
    except csv.Error as error:
        raise ValidationFailedError(f"this is no CSV file: {error}") from None
    names = set().union(*rows) if rows else set()
    if "endpoint" not in names or not names <= set(columns):
        raise ValidationFailedError(
            f"the first line names the columns: endpoint, and of {', '.join(columns[1:])} those that there "
            "are; below it is a line for each device"
        )
    seen: set[str] = set()
    for row in rows:
        if not (endpoint := row["endpoint"]):
            continue  # whoever reads what is asked for names the row
        if endpoint in seen:
            raise ValidationFailedError(f"the device {endpoint!r} is there twice; give each one line")
        seen.add(endpoint)
    default = {"mode": "psk"} if "mode" in columns else {}
    return [{**default, **{name: cell for name, cell in row.items() if cell}} for row in rows]
