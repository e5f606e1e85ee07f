"""A private certificate authority: its files, and those of Leshan's certificate."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.client import ClientError

AUTHORITY, CERTIFICATE = "flownexus-ca", "flownexus-ca-certificate"
SERVER, SERVER_KEY = "flownexus-leshan-certificate", "flownexus-leshan-certificate-key"


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add `ca` with its actions."""
    top = commands.add_parser(
        "ca", help="create a certificate authority for devices, and Leshan's certificate"
    )
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser("init", parents=parents, help="write the secrets of a new CA or of your own")
    init.add_argument("folder", type=Path, metavar="FOLDER", help="where the four files are written")
    init.add_argument(
        *("--host",),
        action="append",
        required=True,
        metavar="NAME",
        help="host name or address at which devices reach Leshan; may be repeated",
    )
    init.add_argument("--name", default="Flow Nexus CA", help="the CA's common name")
    init.add_argument("--certificate", type=Path, metavar="FILE", help="certificate of your own CA, in PEM")
    init.add_argument("--key", type=Path, metavar="FILE", help="private key of your own CA, in PEM (PKCS#8)")
    init.set_defaults(run_here=make)


def make(given: argparse.Namespace) -> int:
    """Write the secrets of a CA and of Leshan's certificate; never overwrite a file."""
    # Only this command needs cryptography, which takes a while to import.
    from flownexus.enrolment.authority import Authority, certificate_pem, now
    from flownexus.enrolment.keys import private_pem
    from flownexus.errors import FlowNexusError

    if (given.certificate is None) != (given.key is None):
        raise ClientError("--certificate and --key go together: give both, or neither for a new CA")
    there = [name for name in (AUTHORITY, CERTIFICATE, SERVER, SERVER_KEY) if (given.folder / name).exists()]
    if there:
        raise ClientError(f"{given.folder / there[0]} exists already and is not overwritten")
    try:
        authority = (
            Authority.new(given.name, now())
            if given.key is None
            else Authority.read(_text(given.certificate).rstrip() + "\n" + _text(given.key))
        )
        certificate, key = authority.server(given.host, now())
    except (FlowNexusError, ValueError) as error:
        raise ClientError(str(error)) from None
    for name, text in (
        (AUTHORITY, authority.pem),
        (CERTIFICATE, certificate_pem(authority.certificate)),
        (SERVER, certificate_pem(certificate)),
        (SERVER_KEY, private_pem(key)),
    ):
        _write(given.folder / name, text)
    sys.stdout.write(
        f"{given.folder}: {AUTHORITY} (keep it secret), {CERTIFICATE}, {SERVER}, {SERVER_KEY} (secret too)\n"
    )
    return 0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error.strerror}") from None
