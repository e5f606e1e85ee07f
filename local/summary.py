"""What `make up` tells of a world that runs: where its parts are, and what to try. Pure: no I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence, Set
from urllib.parse import urlsplit, urlunsplit

from local.layout import at_host_of


def places(
    values: Mapping[str, str], parts: Set[str], gateway_user: str, chosen: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Return what is where, and the secret that it takes, of the parts that run.

    `values` are those of the world's file `env`, `chosen` the settings that it was started with.
    """
    host, loopback = values["FLOWNEXUS_GATEWAY"], values["FLOWNEXUS_LOOPBACK_GATEWAY"]
    coaps = chosen.get("COAPS_URL", values["FLOWNEXUS_COAPS"])
    rows = {
        "gateway": [
            ("the console", values["FLOWNEXUS_CONSOLE"], "your name and password"),
            ("OpenFaaS's gateway", host, f"basic-auth-password (user {gateway_user})"),
            ("you queue operations at", f"{values['FLOWNEXUS_URL']}/operations", "flownexus-api-token"),
            ("you read back at", f"{values['FLOWNEXUS_URL']}/api/v1", "flownexus-api-token"),
            ("Leshan posts values to", f"{loopback}/leshan_api/resource/single", "flownexus-webhook-token"),
            ("", f"{loopback}/leshan_api/resource/composite", "flownexus-webhook-token"),
        ],
        "leshan": [
            ("Leshan's REST API", f"{values['FLOWNEXUS_LESHAN_URL']}/api", "flownexus-leshan-token"),
            ("devices register at", coaps, "a credential: flownexus credentials add"),
            *(
                [
                    (
                        "",
                        at_host_of(coaps, values["FLOWNEXUS_COAP"]),
                        "none; simulated devices and PLAIN_COAP only",
                    )
                ]
                if "FLOWNEXUS_COAP" in values
                else []
            ),
            *(
                [
                    (
                        "devices bootstrap at",
                        at_host_of(coaps, values["FLOWNEXUS_BOOTSTRAP"]),
                        "a factory key: flownexus bootstrap add",
                    )
                ]
                if "FLOWNEXUS_BOOTSTRAP" in values
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


def needs_an_address(chosen: Mapping[str, str]) -> bool:
    """Say whether devices elsewhere can reach Leshan, but were not told at which address."""
    host = chosen.get("COAP_HOST")
    return host is not None and ipaddress.ip_address(host).is_unspecified and "COAPS_URL" not in chosen


def no_address(values: Mapping[str, str]) -> str:
    """Return what to do about that."""
    port = urlsplit(values["FLOWNEXUS_COAPS"]).port
    return (
        "devices on other machines need this machine's address, also in their credential files: "
        f"start with COAPS_URL=coaps://<address>:{port}"
    )


def of_refused(devices: Sequence[str], program: str, starts_without: str) -> str:
    """Return why simulated devices are refused, as a rule, and what to do about it."""
    others = f" and {len(devices) - 1} more simulated devices" if len(devices) > 1 else ""
    return (
        f"Leshan refuses {devices[0]}{others}: since the first enrolment, only enrolled devices "
        f"are admitted.\n  to admit others, too: {program} credentials unenrolled admitted\n"
        f"  to start without simulated devices: {starts_without}"
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
