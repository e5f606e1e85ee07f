"""In which content format a write goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final


class WriteFormat(StrEnum):
    """Content formats of a write, by Leshan's names, in the order in which they are tried."""

    TLV = "TLV"
    SENML_CBOR = "SENML_CBOR"
    SENML_JSON = "SENML_JSON"
    TEXT = "TEXT"


_NUMBERS: Final[Mapping[WriteFormat, int]] = {
    WriteFormat.TLV: 11542,
    WriteFormat.SENML_CBOR: 112,
    WriteFormat.SENML_JSON: 110,
    WriteFormat.TEXT: 0,
}
"""Their numbers in CoAP (OMA LwM2M Core 1.1, 7.4; RFC 8428, 12.3)."""


def write_formats(
    possible: Iterable[WriteFormat], learned: str | None, supported: Collection[int], refused: Collection[str]
) -> list[WriteFormat]:
    """Return those of the possible formats in which a write may still go, the best first.

    `learned` is the one in which the device took an earlier write, `supported` the numbers that it registered
    with, `refused` those in which it answered this write 4.15. What it did not register with comes last:
    devices support more than they say.
    """
    return sorted(
        (each for each in possible if each not in refused),
        key=lambda each: (each != learned, _NUMBERS[each] not in supported),
    )
