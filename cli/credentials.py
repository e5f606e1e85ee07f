"""Credentials of devices: make, replace, list, revoke, and enrol many from a CSV file."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from cli.client import API, Client, ClientError, without_none
from cli.numbers import row_number, seconds
from cli.text import print_json, print_rows, printable, second
from flownexus.enrolment.archive import content_of, folder_of
from flownexus.enrolment.roster import COLUMNS, read_roster
from flownexus.errors import ValidationFailedError

PATH: Final = f"{API}/credentials"
BATCH: Final = 250
"""Credentials per request; its answer, with all files, takes well below a second."""
REVOKE: Final = "flownexus credentials revoke"
_NO_DEVICE: Final = ("", ".", "..")
"""Names that the API rejects and that would name other folders."""
LATER: Final = "Leshan is away; it gets the change within seconds of its return\n"


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add `credentials` with its actions."""
    top = commands.add_parser(
        "credentials", help="enrol devices: create, list, rotate and revoke credentials"
    )
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser(
        "add", parents=parents, help="create a credential and write its files, which are not shown again"
    )
    add.add_argument("endpoint", metavar="ENDPOINT", help="the device's endpoint name")
    add.add_argument("mode", metavar="MODE", choices=("psk", "rpk", "x509"), help="psk, rpk or x509")
    add.add_argument("--identity", metavar="TEXT", help="PSK identity; default: the endpoint name")
    _add_making(add)
    add.set_defaults(run=make)
    rotate = actions.add_parser("rotate", parents=parents, help="create the successor of a credential")
    number = row_number("a credential", "flownexus credentials list")
    rotate.add_argument("id", type=number, metavar="ID", help="as `credentials list` shows it")
    rotate.add_argument(
        "--overlap", type=seconds, metavar="SECONDS", help="time for which both are valid (default 7 days)"
    )
    _add_making(rotate)
    rotate.set_defaults(run=succeed)
    several = actions.add_parser(
        "import", parents=parents, help=f"enrol devices from a CSV file with the columns {', '.join(COLUMNS)}"
    )
    several.add_argument("file", type=Path, metavar="CSV", help="without a column mode, the mode is psk")
    add_folder(several)
    several.set_defaults(run=import_)
    list_all = actions.add_parser("list", parents=parents, help="list credentials, the newest first")
    list_all.add_argument("--endpoint", metavar="ENDPOINT", help="list only those of this device")
    list_all.add_argument("--valid", action="store_true", help="list only valid ones")
    list_all.set_defaults(run=list_)
    end = actions.add_parser(
        "revoke", parents=parents, help="revoke a credential, or all credentials of a device"
    )
    whose = end.add_mutually_exclusive_group(required=True)
    whose.add_argument(
        "id",
        type=row_number("a credential", "flownexus credentials list", "--endpoint revokes all of a device"),
        nargs="?",
        metavar="ID",
        help="as `credentials list` shows it",
    )
    whose.add_argument("--endpoint", metavar="ENDPOINT", help="revoke all credentials of this device")
    end.set_defaults(run=revoke)
    rule = actions.add_parser(
        "unenrolled",
        parents=parents,
        help="show or set the rule for devices without credentials",
    )
    rule.add_argument(
        "rule", choices=("refused", "admitted"), nargs="?", help="the new rule; default: show it"
    )
    rule.set_defaults(run=unenrolled)


def _add_making(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--csr", type=Path, metavar="FILE", help="the device's certificate signing request, in PEM; for x509"
    )
    parser.add_argument(
        "--public-key", type=Path, metavar="FILE", help="the device's own public key, in PEM; for rpk"
    )
    parser.add_argument("--expires-at", metavar="TIME", help="such as 2027-01-02T03:04:05Z")
    add_folder(parser)


def add_folder(parser: argparse.ArgumentParser, default: str = "credentials") -> None:
    """Add the option for the folder that write_files() writes to."""
    parser.add_argument(
        *("--folder", "-o"),
        type=Path,
        default=Path(default),
        metavar="FOLDER",
        help=f"where a new folder with the endpoint's name is created for the files (default: {default})",
    )


def make(client: Client, given: argparse.Namespace) -> int:
    """Create a credential and write its files."""
    check_folder(given.folder, [given.endpoint])
    body = {"endpoint": given.endpoint, "mode": given.mode, "identity": given.identity}
    return _made(client.request("POST", PATH, without_none(body | _making(given))), given)


def succeed(client: Client, given: argparse.Namespace) -> int:
    """Create the successor of a credential and write its files."""
    body = without_none({"overlap": given.overlap} | _making(given))
    check_folder(given.folder, [client.request("GET", f"{PATH}/{given.id}")["endpoint"]])
    return _made(client.request("POST", f"{PATH}/{given.id}/successor", body), given)


def import_(client: Client, given: argparse.Namespace) -> int:
    """Enrol the devices of a CSV file; rows before a rejected batch stay."""
    wanted = read_csv(given.file)
    check_folder(given.folder, [row["endpoint"] for row in wanted if "endpoint" in row])
    made: list[Any] = []
    for at in range(0, len(wanted), BATCH):
        part = wanted[at : at + BATCH]
        try:
            answer = client.request("POST", f"{PATH}/batch", {"credentials": part})["credentials"]
        except ClientError as error:
            raise ClientError(
                f"{refused_rows(error, 'credentials', part, at)} not enrolled, nor any later row; "
                f"the first {at} rows are enrolled, with their files in {given.folder}"
            ) from None
        write_files(given.folder, answer, REVOKE)
        made += answer
    if given.json:
        print_json([{name: value for name, value in each.items() if name != "files"} for each in made])
    else:
        sys.stdout.write(f"enrolled {devices(len(made))}; their files are in {given.folder}\n")
    _say_if_late(made)
    return 0


def list_(client: Client, given: argparse.Namespace) -> int:
    """List credentials, the newest first."""
    query = {"endpoint": given.endpoint, "valid": "true" if given.valid else None}
    found = client.pages(PATH, "credentials", without_none(query))
    if given.json:
        print_json(found)
        return 0
    print_rows(
        [
            (
                str(each["id"]),
                each["endpoint"],
                each["mode"],
                each["identity"] or f"sha256 {each['fingerprint'][:16]}",
                _end(each),
            )
            for each in found
        ]
    )
    return 0


def revoke(client: Client, given: argparse.Namespace) -> int:
    """Revoke a credential, or all credentials of a device."""
    ids = [given.id]
    if given.endpoint is not None:
        query = urlencode({"endpoint": given.endpoint, "valid": "true", "limit": "500"})
        ids = [each["id"] for each in client.request("GET", f"{PATH}?{query}")["credentials"]]
        if not ids:
            raise ClientError(f"{given.endpoint!r} has no valid credential")
    revoked = [client.request("DELETE", f"{PATH}/{id_}") for id_ in ids]
    if given.json:
        print_json(revoked)
    else:
        for each in revoked:
            sys.stdout.write(f"credential {each['id']} of {printable(each['endpoint'])}: {_end(each)}\n")
    _say_if_late(revoked)
    return 0


def unenrolled(client: Client, given: argparse.Namespace) -> int:
    """Show or set the rule for devices without credentials."""
    path = f"{API}/enrolment"
    found = (
        client.request("GET", path)
        if given.rule is None
        else client.request("PUT", path, {"unenrolled": given.rule})
    )
    if given.json:
        print_json(found)
    else:
        since = "" if found["any_enrolled"] else ", once a device is enrolled"
        sys.stdout.write(f"devices without credentials are {found['unenrolled']}{since}\n")
    _say_if_late([found])
    return 0


def check_folder(folder: Path, endpoints: Sequence[str]) -> None:
    """Create the folder for write_files(); raise ClientError if it is not writable.

    It never overwrites files: they may be the only copy of a key.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = [folder / folder_of(name) for name in endpoints if name not in _NO_DEVICE]
        there = [each for each in own if each.exists() and any(each.iterdir())]
    except OSError as error:
        raise ClientError(f"cannot write to {folder}: {error.strerror}; choose another --folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ClientError(f"cannot write to {folder}: no permission; choose another --folder")
    if there:
        raise ClientError(
            f"{there[0]} already contains files, maybe the only copy of a key: "
            "choose another --folder, or remove them"
        )


def write_files(folder: Path, made: Sequence[Mapping[str, Any]], revoke: str) -> None:
    """Write the files of new credentials, readable only by their owner.

    Raises ClientError, which names the command `revoke` for each lost credential: no key is shown again.
    """
    for place, each in enumerate(made):
        own = _own_folder(folder, each)
        try:
            own.mkdir(parents=True, exist_ok=True, mode=0o700)
            for file, text in each["files"].items():
                descriptor = os.open(own / Path(file).name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as out:
                    out.write(content_of(file, text))
        except OSError as error:
            lost = ", ".join(f"`{revoke} {other['id']}`" for other in made[place:])
            raise ClientError(
                f"cannot write to {own}: {error.strerror}; credentials without files are useless, "
                f"and the files are not shown again; revoke them: {lost}"
            ) from None


def files_of(folder: Path, made: Mapping[str, Any]) -> str:
    """List the files of a new credential, with their folder."""
    return f"{_own_folder(folder, made)}: {', '.join(sorted(made['files']))}"


def _own_folder(folder: Path, made: Mapping[str, Any]) -> Path:
    return folder / folder_of(made["endpoint"])


def refused_rows(error: ClientError, name: str, part: Sequence[Mapping[str, str]], at: int) -> str:
    """Explain why the API refused the list `name`, and name the rows of the CSV file that it contained.

    The number of a list element is replaced by the number of its row.
    """
    reason = str(error)
    if found := re.fullmatch(rf"{name}, number (\d+): (.*)", reason, re.DOTALL):
        place = int(found[1])
        endpoint = part[place - 1].get("endpoint")
        named = f" ({printable(endpoint)})" if endpoint else ""
        reason = f"row {at + place}{named}: {found[2]}"
    rows = f"row {at + 1} is" if len(part) == 1 else f"rows {at + 1} to {at + len(part)} are"
    return f"{reason}; {rows}"


def devices(count: int) -> str:
    """Return a number of devices in words."""
    return "1 device" if count == 1 else f"{count} devices"


def _made(made: Any, given: argparse.Namespace) -> int:
    write_files(given.folder, [made], REVOKE)
    if given.json:
        sys.stdout.write(json.dumps(made) + "\n")
    else:
        sys.stdout.write(
            f"credential {made['id']} of {printable(made['endpoint'])}, {made['mode']}: {_end(made)}\n"
            f"{files_of(given.folder, made)}\n"
        )
    _say_if_late([made])
    return 0


def _making(given: argparse.Namespace) -> dict[str, str | None]:
    return {
        "csr": _text(given.csr),
        "public_key": _text(given.public_key),
        "expires_at": given.expires_at,
    }


def _text(file: Path | None) -> str | None:
    try:
        return None if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None


def read_csv(file: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, str]]:
    """Read the rows of a CSV file; raise ClientError if a column is unknown or missing."""
    try:
        return read_roster(_text(file) or "", columns)
    except ValidationFailedError as error:
        raise ClientError(f"{file}: {error.detail}") from None


def _say_if_late(made: Sequence[Any]) -> None:
    if made and not made[-1]["carried"]:
        sys.stderr.write(LATER)


def _end(row: Any) -> str:
    """Say until when a credential is valid."""
    if row["revoked_at"]:
        return f"revoked {second(row['revoked_at'])}"
    return f"until {second(row['expires_at'])}" if row["expires_at"] else "does not expire"
