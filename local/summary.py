"""What `make up` tells of a world that runs: where its parts are, and what to try. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Set
from urllib.parse import urlsplit, urlunsplit


def places(values: Mapping[str, str], parts: Set[str], gateway_user: str) -> list[tuple[str, str, str]]:
    """Return what is where, and the secret that it takes, of the parts that run.

    `values` are those of the world's file `env`.
    """
    host = values["FLOWNEXUS_GATEWAY"]
    rows = {
        "gateway": [
            ("the console", values["FLOWNEXUS_CONSOLE"], "your name and password"),
            ("OpenFaaS's gateway", host, f"basic-auth-password (user {gateway_user})"),
            ("you queue operations at", f"{values['FLOWNEXUS_URL']}/operations", "flownexus-api-token"),
            ("you read back at", f"{values['FLOWNEXUS_URL']}/api/v1", "flownexus-api-token"),
            ("Leshan posts values to", f"{host}/leshan_api/resource/single", "flownexus-webhook-token"),
            ("", f"{host}/leshan_api/resource/composite", "flownexus-webhook-token"),
        ],
        "leshan": [
            ("Leshan's REST API", f"{values['FLOWNEXUS_LESHAN_URL']}/api", "flownexus-leshan-token"),
            ("devices register at", values["FLOWNEXUS_COAPS"], "a key that you give to Leshan"),
            *(
                [("devices bootstrap at", values["FLOWNEXUS_BOOTSTRAP"], "a factory key")]
                if "FLOWNEXUS_BOOTSTRAP" in values
                else []
            ),
            *(
                [("", values["FLOWNEXUS_COAP"], "none; simulated devices and PLAIN_COAP only")]
                if "FLOWNEXUS_COAP" in values
                else []
            ),
        ],
        "postgres": [
            (
                "PostgreSQL",
                _without_password(values["FLOWNEXUS_DATABASE_URL"]),
                "pgpass (a role that may only read)",
            )
        ],
        "nats": [("NATS", _without_password(values["FLOWNEXUS_NATS_URL"]), "FLOWNEXUS_NATS_URL in env")],
    }
    return [row for part, of_part in rows.items() if part in parts for row in of_part]


def to_try(parts: Set[str]) -> list[str]:
    """Return commands of the command line that work where these parts run."""
    if "gateway" not in parts:
        return []
    commands = ["endpoints"]
    if {"leshan", "simulator"} <= parts:
        commands.append("values sim-0001")
        if {"nats", "connector"} <= parts:
            commands.append("write --wait sim-0001 /3/0/15 Europe/Berlin")
    return commands


def needs_a_device(parts: Set[str]) -> bool:
    """Say whether devices could register, and none is simulated."""
    return "leshan" in parts and "simulator" not in parts


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
