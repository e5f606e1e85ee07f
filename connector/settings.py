"""The connector's settings, from the environment and OpenFaaS secret files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flownexus.errors import MissingSettingError
from flownexus.messaging.connection import Servers
from flownexus.settings import Timeouts, duration_setting, integer_setting, secret, token_to_send


@dataclass(frozen=True)
class ConnectorSettings:
    """Everything that can be set. Durations are in seconds."""

    gateway_url: str
    gateway_user: str
    gateway_password: str = field(repr=False)
    token: str = field(repr=False)
    """Proves to a function that it is the connector that calls."""
    nats: Servers
    call_timeout: float = 70.0
    host: str = "127.0.0.1"
    """Where health and metrics are served."""
    port: int = 8081
    grace: float = 10.0
    """How long SIGTERM lets open calls run on."""
    refresh: float = 3.0
    """How often the gateway is asked for its functions."""
    max_open_calls: int = 6000
    """The most calls open at once for one function."""
    ack_wait: float = 30.0
    """After this silence of a connector JetStream hands its messages out again; heartbeats come in thirds."""
    max_deliveries: int = 20
    retry_base: float = 0.5
    retry_cap: float = 30.0

    @classmethod
    def from_environment(cls) -> ConnectorSettings:
        """Read all settings; raises MissingSettingError for one that is missing or makes no sense."""
        gateway_url = (os.environ.get("gateway_url") or "http://127.0.0.1:8080").rstrip("/")
        url = urlsplit(gateway_url)
        if url.scheme not in ("http", "https") or not url.hostname or url.username:
            raise MissingSettingError(
                "environment variable gateway_url: must be like http://gateway.openfaas:8080"
            )
        return cls(
            gateway_url=gateway_url,
            gateway_user=secret("basic-auth-user"),
            gateway_password=secret("basic-auth-password"),
            token=token_to_send("flownexus-connector-token"),
            nats=Servers.of(secret("flownexus-nats-url")),
            call_timeout=Timeouts.from_environment().connector_s,
            host=os.environ.get("host") or "127.0.0.1",
            port=integer_setting("port", 8081),
            grace=duration_setting("grace", "10s"),
            refresh=_positive("refresh_interval", duration_setting("refresh_interval", "3s")),
            max_open_calls=int(_positive("max_open_calls", integer_setting("max_open_calls", 6000))),
            ack_wait=_positive("ack_wait", duration_setting("ack_wait", "30s")),
            max_deliveries=int(_positive("max_deliveries", integer_setting("max_deliveries", 20))),
        )


def _positive(name: str, value: float) -> float:
    if value <= 0:
        raise MissingSettingError(f"environment variable {name}: must be more than zero")
    return value
