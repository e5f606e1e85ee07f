"""The template's settings, named as OpenFaaS's of-watchdog names them, from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class SettingError(ValueError):
    """A setting in the environment cannot be understood."""


@dataclass(frozen=True)
class FunctionServerSettings:
    """How a function is served. Durations are in seconds, None where there is no bound."""

    host: str = "0.0.0.0"  # noqa: S104 - a container's only service, reached from outside it
    port: int = 8080
    function_dir: Path = Path(__file__).resolve().parent.parent / "function"
    metrics_port: int = 8081
    log_level: str = "INFO"
    log_format: str = "json"
    read_timeout: float | None = 30.0  # for a request's head, then for its whole body
    write_timeout: float | None = 30.0  # for a client that does not read what it asked for
    exec_timeout: float | None = None  # for the application to answer
    drain_timeout: float | None = 30.0  # for what is under way at SIGTERM; unless set, write_timeout
    max_inflight: int = 0  # whole requests at once, 0 for no bound
    max_bodies: int = 256  # bodies under way at once, or max_inflight if that is more
    max_bodies_bytes: int = 64 * 1024 * 1024  # of all bodies under way
    max_connections: int = 10_000
    max_body_bytes: int = 8 * 1024 * 1024
    threads: int = 16  # of a WSGI application

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> FunctionServerSettings:
        """Read the settings; raise SettingError, naming the variable, if one makes no sense."""
        read = _Reader(environment)
        max_inflight = read.integer("max_inflight", cls.max_inflight)
        write_timeout = read.duration("write_timeout", cls.write_timeout)
        return cls(
            host=environment.get("host", cls.host),
            port=read.integer("port", cls.port),
            function_dir=Path(environment.get("function_dir", cls.function_dir)).resolve(),
            metrics_port=read.integer("metrics_port", cls.metrics_port),
            log_level=read.level("log_level", cls.log_level),
            log_format=read.word("log_format", cls.log_format, ("json", "text")),
            read_timeout=read.duration("read_timeout", cls.read_timeout),
            write_timeout=write_timeout,
            exec_timeout=read.duration("exec_timeout", cls.exec_timeout),
            drain_timeout=read.duration("drain_timeout", write_timeout),
            max_inflight=max_inflight,
            max_bodies=max(read.integer("max_bodies", cls.max_bodies), max_inflight, 1),
            max_bodies_bytes=read.integer("max_bodies_bytes", cls.max_bodies_bytes),
            max_connections=read.integer("max_connections", cls.max_connections),
            max_body_bytes=read.integer("max_body_bytes", cls.max_body_bytes),
            threads=max(1, read.integer("threads", cls.threads)),
        )


class _Reader:
    """Reads one kind of value each, naming the variable in its errors."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def integer(self, name: str, default: int) -> int:
        text = self._environment.get(name, "")
        if not text:
            return default
        if not text.isascii() or not text.isdigit():
            raise SettingError(f"{name} must be a whole number, 0 or more, not {text!r}")
        return int(text)

    def level(self, name: str, default: str) -> str:
        text = self._environment.get(name, "").upper() or default
        if text not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
            raise SettingError(f"{name} must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not {text!r}")
        return text

    def word(self, name: str, default: str, words: tuple[str, ...]) -> str:
        text = self._environment.get(name, "").lower() or default
        if text not in words:
            raise SettingError(f"{name} must be {' or '.join(words)}, not {text!r}")
        return text

    def duration(self, name: str, default: float | None) -> float | None:
        """Read a Go duration such as 1m30s or 500ms, or plain seconds; 0 is no bound."""
        text = self._environment.get(name, "")
        if not text:
            return default
        if text.isascii() and text.isdigit():
            seconds = float(text)
        elif _DURATION.fullmatch(text):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
        else:
            raise SettingError(f"{name} must be a duration such as 40s or 1m30s, not {text!r}")
        return seconds or None
