"""The way by which firmware packages go to a device, as its profile may say."""

from __future__ import annotations

from enum import StrEnum


class FirmwareWay(StrEnum):
    """What a device is told: to download, or nothing, for the package is written to it."""

    HTTP = "http"
    """It downloads by HTTPS or HTTP."""
    COAP = "coap"
    """It downloads by CoAPS or CoAP."""
    PUSH = "push"
    """The package is written to /5/0/0."""
