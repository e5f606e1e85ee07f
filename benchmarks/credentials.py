"""The simulator's arguments by which its devices take the files of their credentials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

MODES: Final[Mapping[str, Mapping[str, str]]] = {
    "psk": {"--psk-identity-file": "psk-identity.txt", "--psk-key-file": "psk-key.hex"},
    "rpk": {"--rpk-public-key": "public.pem", "--rpk-key": "key.pem"},
    "x509": {"--x509-cert": "certificate.pem", "--x509-key": "key.pem"},
}
"""By kind of credential, each argument and the file that it takes from each device's folder."""
_OF_SERVER: Final = {"rpk": ("--server-public-key", "server-public.pem"), "x509": ("--ca-cert", "ca.pem")}


def arguments(mode: str, folder: Path, one: str) -> list[str]:
    """Return them for the devices whose folders are in `folder`; what they know Leshan by, `one` has."""
    words = [word for flag, name in MODES[mode].items() for word in (flag, str(folder / "{ep}" / name))]
    if mode in _OF_SERVER:
        flag, name = _OF_SERVER[mode]
        words += [flag, str(folder / one / name)]
    return words
