"""What can be chosen about a local world."""

from __future__ import annotations

import ipaddress
import os
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from flownexus.accounts.place import place_of
from flownexus.errors import MissingSettingError
from flownexus.settings import duration
from local import REPOSITORY
from local.servers.ports import LOOPBACK, free_port

PARTS = (
    "postgres",
    "nats",
    "gateway",
    "leshan",
    "downloads",
    "connector",
    "simulator",
)  # in the order of their start
DEFAULT_HOME = (REPOSITORY / ".flownexus").resolve()
AWAKE_TIME = 10.0  # seconds that a sleeper listens after it has spoken
ENVIRONMENT_FILE = "env"
CLI_FILE = "flownexus"
PASSWORD_FILE = "pgpass"  # noqa: S105  # a file's name
CONSOLE_LINK_FILE = "console-link"
STATUS_FILE = "run/status.json"
SIMULATOR_READY_FILE = "simulator/ready.json"
LONG_POLLS = ("100ms", "1h")  # Leshan takes none longer
AWAKE_TIMES = ("1s", "24h")
STORE_SETTINGS = ("FIRMWARE_STORE_URL", "FIRMWARE_STORE_BUCKET", "FIRMWARE_STORE_REGION")
"""What of the environment the download server reads, too."""
STACK_SETTINGS = (
    "RETENTION",
    "MARK_RETENTION",
    "ENDPOINT_RETENTION",
    "DEAD_LETTER_RETENTION",
    "ROLL_UP_RETENTION",
    "LOG_RETENTION",
    "OPERATION_RETENTION",
    "OBSERVE_REFRESH",
    "MAX_QUEUED_OPERATIONS",
    "SESSION_IDLE",
    "SESSION_LIFETIME",
    "COAPS_URL",
    "FIRMWARE_URLS",
    "GRAFANA_URL",
    "CONSOLE_URL",
    *("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_NAME", "OIDC_USERS", "OIDC_ROLE_CLAIM", "OIDC_ROLES"),
    *STORE_SETTINGS,
    "FIRMWARE_ASK_AFTER",
    "FIRMWARE_GRACE",
    "FIRMWARE_ABSENCE",
    "FIRMWARE_RETRY_DELAY",
    "FIRMWARE_TIME_LIMIT",
    "FIRMWARE_TIME_ZONE",
    "LOG_LEVEL",
    "REGISTRY",
    "TAG",
)
"""What of the environment stack.yml has a place for."""
WORLD_SETTINGS = (
    *("DEVICES", "PORTS", "COAP_HOST", "MODELS", "PLAIN_COAP", "NEW_ENDPOINTS", "LONG_POLL_TIMEOUT"),
    "AWAKE_TIME",
    *("TLS", "TLS_CERTIFICATE", "TLS_KEY", "TLS_CA"),
    *("FLOWNEXUS_PARTS", "LESHAN_HEAP_MB", "SHARED_BUFFERS_MB", "BOOTSTRAP"),
)
LOG_LEVELS = ("debug", "info", "warning", "error")
RETENTIONS = ("24h", "1000000h")  # less would drop what is being written; more is no period of PostgreSQL's


class OptionError(ValueError):
    """An option makes no sense."""


@dataclass(frozen=True)
class Ports:
    """Where the parts listen, on the loopback interface; 0 is any free port."""

    gateway: int = 8080
    leshan: int = 8090
    coap: int = 5683
    coaps: int = 5684
    database: int = 5433
    nats: int = 4222
    connector: int = 0
    leshan_metrics: int = 8092
    downloads: int = 8095
    tls: int = 8443
    bootstrap: int = 5784

    @classmethod
    def any_free(cls) -> Ports:
        """Return free ports for all."""
        return cls(**dict.fromkeys((port.name for port in fields(cls)), 0))

    @staticmethod
    def kind(name: str) -> socket.SocketKind:
        """Return whether a port is of TCP or of UDP."""
        return socket.SOCK_DGRAM if name in {"coap", "coaps", "bootstrap"} else socket.SOCK_STREAM

    @staticmethod
    def variable(name: str) -> str:
        """Return the environment variable that sets a port."""
        return f"FLOWNEXUS_{name.upper()}_PORT"

    def settled(self) -> Ports:
        """Return the same with a free port for each 0."""
        found = {
            port.name: getattr(self, port.name) or free_port(self.kind(port.name)) for port in fields(self)
        }
        return replace(self, **found)


@dataclass(frozen=True)
class TlsFiles:
    """A certificate for the gateway, with what it takes to be trusted, in PEM."""

    certificate: Path
    key: Path
    authority: Path | None
    """What signed it, where that is no CA which every system trusts."""


@dataclass(frozen=True)
class Options:
    """What a world is like. Durations are in seconds."""

    home: Path
    ports: Ports = Ports()
    parts: frozenset[str] = frozenset(PARTS)
    stack: Path = REPOSITORY / "stack.yml"
    devices: int = 3
    groups: tuple[str, ...] | None = None
    """Groups of simulated devices instead of `devices`; see the simulator's --group."""
    long_poll_timeout: float = 30.0
    awake_time: float = AWAKE_TIME
    """How long Leshan takes a sleeper to listen, and the simulated one does."""
    database_url: str = ""
    """A PostgreSQL of the user's, by a role that may create roles; then none is started."""
    nats_url: str = ""
    """A NATS of the user's; then none is started."""
    durable: bool = True
    """Whether PostgreSQL survives a power cut; tests that throw their data away need not care."""
    coap_host: str = LOOPBACK
    """The address on which devices find Leshan and firmware packages; all else is on loopback."""
    plain_coap: tuple[str, ...] = ()
    """Endpoint names, or prefixes and `*`, that may come over plain CoAP beside the simulated devices."""
    bootstrap: bool = False
    """Whether Leshan has a bootstrap server."""
    models: Path | None = None
    """A folder with object models of the user's (XML), beside those that Leshan has."""
    new_endpoints: int = 20
    """How many of them that Leshan never saw may register in a minute."""
    leshan_heap_mb: int = 512
    """What Leshan's heap may grow to."""
    shared_buffers_mb: int = 128
    """PostgreSQL's own cache of pages."""
    tls: bool = False
    """Whether the gateway also speaks TLS, and all that is printed for people and programs says so."""
    tls_files: TlsFiles | None = None
    """A certificate of the user's for that; else the world's CA signs one."""
    leshan_arguments: tuple[str, ...] = ()
    simulator_arguments: tuple[str, ...] = ()
    stack_environment: Mapping[str, str] = field(default_factory=dict)
    """Values for ${NAME:-default} in stack.yml."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """What the environment has set of all this, by variable; for `make up` to compare."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Options:
        """Read the options from FLOWNEXUS_* and from what the Makefile has for `make up`."""
        home = Path(environment.get("FLOWNEXUS_HOME") or DEFAULT_HOME).resolve()
        if environment.get("PORTS", "") not in {"", "free"}:
            raise OptionError(f"PORTS must be 'free' or unset, not {environment['PORTS']!r}")
        ports = Ports.any_free() if environment.get("PORTS") == "free" else Ports()
        chosen = {
            port.name: _number(environment, Ports.variable(port.name), getattr(ports, port.name), 65535)
            for port in fields(Ports)
        }
        # Whoever has sourced a world's env file has not chosen a database of their own by that.
        urls = {}
        for what in ("DATABASE_URL", "NATS_URL"):
            given = environment.get(f"FLOWNEXUS_{what}", "")
            embedded = environment.get(f"FLOWNEXUS_EMBEDDED_{what}", "")
            urls[what] = "" if given == embedded else given
        if urls["DATABASE_URL"] and not urls["DATABASE_URL"].startswith(("postgresql://", "postgres://")):
            raise OptionError(
                "FLOWNEXUS_DATABASE_URL must be a URL: postgresql://user:password@host:port/database"
            )
        parts = frozenset(filter(None, environment.get("FLOWNEXUS_PARTS", "").split(","))) or frozenset(PARTS)
        if not parts <= set(PARTS):
            raise OptionError(
                f"FLOWNEXUS_PARTS must be names with commas between, of {', '.join(PARTS)}; "
                f"not {','.join(sorted(parts))!r}"
            )
        devices = _number(environment, "DEVICES", 3, 9999)
        if environment.get("BOOTSTRAP", "") not in {"", "0", "1"}:
            raise OptionError(f"BOOTSTRAP must be 1, or 0 or unset, not {environment['BOOTSTRAP']!r}")
        models = Path(environment["MODELS"]).expanduser().resolve() if environment.get("MODELS") else None
        if models is not None and not models.is_dir():
            raise OptionError(f"MODELS must be a folder of object models in XML; {models} is no folder")
        _duration(environment, "RETENTION", "8760h", *RETENTIONS)
        _duration(environment, "OPERATION_RETENTION", "2160h", *RETENTIONS)
        _number(environment, "MAX_QUEUED_OPERATIONS", 1000, 1_000_000)
        _duration(environment, "SESSION_IDLE", "1h", "1m", "24h")
        _duration(environment, "SESSION_LIFETIME", "24h", "1m", "720h")
        if environment.get("TLS", "") not in {"", "0", "1"}:
            raise OptionError(f"TLS must be 1, or unset for none, not {environment['TLS']!r}")
        tls = environment.get("TLS") == "1"
        if tls and environment.get("CONSOLE_URL", "https:").startswith("http:"):
            raise OptionError(
                "CONSOLE_URL must begin with https: where TLS=1, for that is how the console is served"
            )
        if environment.get("CONSOLE_URL"):
            try:
                place_of(environment["CONSOLE_URL"])
            except MissingSettingError as error:
                raise OptionError(f"CONSOLE_URL: {error}") from None
        if environment.get("COAPS_URL") and not _is_coaps_url(environment["COAPS_URL"]):
            raise OptionError(
                f"COAPS_URL must be a URL such as coaps://192.0.2.10:5684, not {environment['COAPS_URL']!r}"
            )
        if environment.get("LOG_LEVEL") and environment["LOG_LEVEL"] not in LOG_LEVELS:
            raise OptionError(
                f"LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}, not {environment['LOG_LEVEL']!r}"
            )
        return cls(
            home=home,
            parts=parts if devices else parts - {"simulator"},
            ports=Ports(**chosen),
            devices=devices,
            long_poll_timeout=_duration(environment, "LONG_POLL_TIMEOUT", "30s", *LONG_POLLS),
            awake_time=_duration(environment, "AWAKE_TIME", f"{AWAKE_TIME:g}s", *AWAKE_TIMES),
            bootstrap=environment.get("BOOTSTRAP") == "1",
            models=models,
            tls=tls,
            tls_files=_tls_files(environment),
            coap_host=_address(environment, "COAP_HOST", LOOPBACK),
            plain_coap=tuple(filter(None, environment.get("PLAIN_COAP", "").split(","))),
            new_endpoints=_number(environment, "NEW_ENDPOINTS", 20, 1_000_000),
            leshan_heap_mb=_number(environment, "LESHAN_HEAP_MB", 512, 65_536, minimum=64),
            shared_buffers_mb=_number(environment, "SHARED_BUFFERS_MB", 128, 65_536, minimum=16),
            database_url=urls["DATABASE_URL"],
            nats_url=urls["NATS_URL"],
            chosen={name: environment[name] for name in variables() if environment.get(name)},
            stack_environment={name: environment[name] for name in STACK_SETTINGS if environment.get(name)},
        )

    @property
    def log_level(self) -> str:
        """Return what all parts of our own log at the least."""
        return self.stack_environment.get("LOG_LEVEL", "info")

    def device_groups(self) -> tuple[str, ...]:
        """Return the simulator's groups: from three devices on the last one sleeps."""
        if self.groups is not None:
            return self.groups
        awake = self.devices - 1 if self.devices >= 3 else self.devices
        groups = []
        if awake:
            groups.append(f"prefix=sim-,count={awake},notify=2s,lifetime=300,update=30s")
        if awake < self.devices:
            groups.append(
                f"prefix=sim-,count=1,start={self.devices},notify=5s,lifetime=300,update=30s,"
                f"sleepy,awake={self.awake_time:g}s"
            )
        return tuple(groups)

    def device_count(self) -> int:
        """Return how many devices the groups have."""
        return sum(int(group.get("count", "1")) for group in self._group_settings())

    def plain_endpoints(self) -> tuple[str, ...]:
        """Return which endpoints may come over plain CoAP; none closes its port."""
        simulated = (
            {f"{group.get('prefix', 'sim-')}*" for group in self._group_settings()}
            if "simulator" in self.parts
            else set()
        )
        return (*sorted(simulated), *self.plain_coap)

    def _group_settings(self) -> list[dict[str, str]]:
        return [dict(part.partition("=")[::2] for part in group.split(",")) for group in self.device_groups()]


def variables() -> tuple[str, ...]:
    """Return the variables that choose what a world is like, those apart that may hold a password."""
    ports = (Ports.variable(port.name) for port in fields(Ports))
    return (*WORLD_SETTINGS, *ports, *STACK_SETTINGS)


def read_environment_file(home: Path) -> dict[str, str]:
    """Return what the world in `home` wrote for others to find it; nothing if it never ran."""
    try:
        text = (home / ENVIRONMENT_FILE).read_text(encoding="utf-8")
    except OSError:
        return {}
    return {
        name: "".join(shlex.split(value))
        for name, _, value in (line.removeprefix("export ").partition("=") for line in text.splitlines())
    }


def _tls_files(environment: Mapping[str, str]) -> TlsFiles | None:
    """Return the user's own certificate; raise OptionError where a file of it is missing."""
    given = {
        name: Path(environment[name]).expanduser().resolve()
        for name in ("TLS_CERTIFICATE", "TLS_KEY", "TLS_CA")
        if environment.get(name)
    }
    if not given:
        return None
    if environment.get("TLS") != "1" or not {"TLS_CERTIFICATE", "TLS_KEY"} <= set(given):
        raise OptionError(
            f"{', '.join(given)}: your own certificate needs TLS=1, TLS_CERTIFICATE and TLS_KEY, "
            "and TLS_CA if this machine does not trust its CA"
        )
    for name, path in given.items():
        if not path.is_file():
            raise OptionError(f"{name} must be a PEM file; {path} is not a file")
    return TlsFiles(given["TLS_CERTIFICATE"], given["TLS_KEY"], given.get("TLS_CA"))


def _is_coaps_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == "coaps" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _duration(environment: Mapping[str, str], name: str, default: str, minimum: str, maximum: str) -> float:
    text = environment.get(name) or default
    try:
        seconds = duration(text)
    except MissingSettingError as error:
        raise OptionError(f"{name}: {error}") from None
    if not duration(minimum) <= seconds <= duration(maximum):
        raise OptionError(f"{name} must be from {minimum} to {maximum}, not {text}")
    return seconds


def _address(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name) or default
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise OptionError(f"{name} must be an IP address, such as 0.0.0.0, not {text!r}") from None


def _number(environment: Mapping[str, str], name: str, default: int, maximum: int, minimum: int = 0) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= maximum:
        raise OptionError(f"{name} must be a number from {minimum} to {maximum}, not {text!r}")
    return int(text)
