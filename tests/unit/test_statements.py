"""The statements of the store."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import flownexus.store


def test_each_statement_has_a_name_of_its_own() -> None:
    folder = Path(flownexus.store.__file__).parent / "sql"

    names = Counter(
        name for file in folder.glob("*.sql") for name in re.findall(r"(?m)^-- name: (\w+)", file.read_text())
    )

    assert names
    # aiosql would take one of them, in no order.
    assert [name for name, count in names.items() if count > 1] == []
