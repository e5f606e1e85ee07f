"""Settings from the environment and from OpenFaaS secret files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flownexus.errors import MissingSettingError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
SECRETS_FOLDER = "/var/openfaas/secrets"


def duration(text: str) -> float:
    """Read a Go duration such as "40s", "1m30s" or "500ms".

    Returns seconds. Raises MissingSettingError where the text is not one (the units are ms, s, m and h).
    """
    parts = _DURATION.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise MissingSettingError(f"{text!r} is not a duration; write it like 500ms, 40s, 1m30s or 2160h")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def duration_setting(name: str, default: str) -> float:
    """Read the environment variable `name` as a duration, in seconds."""
    try:
        return duration(os.environ.get(name) or default)
    except MissingSettingError as error:
        raise MissingSettingError(f"environment variable {name}: {error}") from None


def integer_setting(name: str, default: int) -> int:
    """Read the environment variable `name` as an integer."""
    text = os.environ.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise MissingSettingError(f"environment variable {name}: {text!r} is not an integer") from None


def text_setting(name: str) -> str:
    """Read the environment variable `name`, which must be set."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise MissingSettingError(f"environment variable {name} is not set")
    return value


def secret_lines(name: str) -> tuple[str, ...]:
    """Read the lines of a secret; of tokens each is valid, the first is the one to send (rotation).

    Raises MissingSettingError where the file is missing or empty: an unset secret is a refusal to start.
    """
    path = Path(os.environ.get("secret_mount_path") or SECRETS_FOLDER) / name
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingSettingError(f"secret {name} cannot be read from {path}: {error.strerror}") from None
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise MissingSettingError(f"secret {name} in {path} is empty")
    return lines


def optional_secret_lines(name: str) -> tuple[str, ...]:
    """Read the lines of a secret; none where it does not exist or says off."""
    path = Path(os.environ.get("secret_mount_path") or SECRETS_FOLDER) / name
    if not path.exists():
        return ()
    return secret_lines_or_off(name)


def secret_lines_or_off(name: str) -> tuple[str, ...]:
    """Read the lines of a secret that must be there, and may say off; none then.

    Raises MissingSettingError.
    """
    found = secret_lines(name)
    return () if found == ("off",) else found


def secret_for(setting: str, name: str) -> str:
    """Read a secret that a setting needs: it may not be off; raise MissingSettingError."""
    lines = secret_lines_or_off(name)
    if not lines:
        raise MissingSettingError(f"secret {name}: {setting} needs it; it is off")
    return lines[0]


def secret(name: str) -> str:
    """Read a secret: the first line of its file."""
    return secret_lines(name)[0]


def token_to_send(name: str) -> str:
    """Read the token of a secret's first line, without the name that may follow it."""
    return secret(name).split()[0]


MAX_LEASE_TERM_S: Final = 60.0
"""Seconds for which an operation is leased at most, before its lease is renewed."""


@dataclass(frozen=True)
class Timeouts:
    """The nested timeouts of one operation, in seconds, each shorter than the next."""

    leshan_s: float
    """Leshan's own ?timeout, for the device to answer."""
    client_s: float
    """dispatch-op's HTTP client towards Leshan."""
    execution_s: float
    """exec_timeout of the function."""
    lease_s: float
    """How long a claim holds without a result, all renewals of its lease included."""
    upstream_s: float
    """The gateway's upstream_timeout."""
    gateway_s: float
    """The gateway's read_timeout and write_timeout."""
    connector_s: float
    """The connector's call of the gateway."""

    @property
    def lease_term_s(self) -> float:
        """Return how long a lease holds unless it is renewed, as none of a dead worker is."""
        return min(self.lease_s, MAX_LEASE_TERM_S)

    @classmethod
    def of(cls, long_poll_s: float) -> Timeouts:
        """Derive all from the long poll's: 30 gives 30, 35, 40, 50, 60, 65 and 70."""
        return cls(*(long_poll_s * sixths / 6 for sixths in (6, 7, 8, 10, 12, 13, 14)))

    @classmethod
    def from_environment(cls) -> Timeouts:
        """Derive all from the environment's long_poll_timeout (30s where unset)."""
        return cls.of(duration_setting("long_poll_timeout", "30s"))
