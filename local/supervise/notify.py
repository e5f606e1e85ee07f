"""Tell systemd how we get on, where it started us with Type=notify: sd_notify(3)."""

from __future__ import annotations

import os
import socket


def listens() -> bool:
    """Say whether systemd waits for what we tell."""
    return "NOTIFY_SOCKET" in os.environ


def notify(**states: str) -> None:
    """Tell systemd states of ours, such as READY="1" and STATUS="a line"."""
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.connect("\0" + address[1:] if address.startswith("@") else address)
        connection.sendall("\n".join(f"{name}={value}" for name, value in states.items()).encode())
