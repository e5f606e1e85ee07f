"""The firmware object of a device: its paths, states and results.

OMA LwM2M Core 1.1, appendix E.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from flownexus.firmware.state import Failure
from flownexus.lwm2m.path import Path

FIRMWARE: Final = Path(5, 0)
PACKAGE: Final = Path(5, 0, 0)
PACKAGE_URI: Final = Path(5, 0, 1)
INSTALL: Final = Path(5, 0, 2)
CANCEL: Final = Path(5, 0, 10)
TIME_ZONE: Final = Path(3, 0, 15)


class Device(IntEnum):
    """/5/0/3."""

    IDLE = 0
    DOWNLOADING = 1
    DOWNLOADED = 2
    UPDATING = 3


SUCCESS: Final = 1
DEFERRED: Final = 11
RESULTS: Final[Mapping[int, tuple[Failure, str]]] = {
    2: (Failure.NO_SPACE, "the device does not have enough flash for the package"),
    3: (Failure.NO_MEMORY, "the device ran out of memory during the download"),
    4: (Failure.CONNECTION_LOST, "the device lost the connection during the download"),
    5: (Failure.BAD_CHECKSUM, "the package failed the device's integrity check"),
    6: (Failure.UNSUPPORTED_PACKAGE, "the device does not support this type of package"),
    7: (Failure.INVALID_URI, "the device cannot use the package's URI, or found nothing there"),
    8: (Failure.INSTALL_FAILED, "the device failed to install the package"),
    9: (Failure.UNSUPPORTED_PROTOCOL, "the device does not support the protocol of the package's URI"),
    10: (Failure.GIVEN_UP, "the device has cancelled the update"),
}
"""/5/0/5 of an update that failed (OMA LwM2M Core 1.1, appendix E.6)."""
MAY_PASS: Final = frozenset({2, 3, 4, 8})
"""Transient results, which are worth a retry."""
