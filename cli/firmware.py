"""Firmware: upload, list and retire packages; start, watch and cancel updates of single devices."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from cli.client import API, Client, ClientError, without_none
from cli.numbers import row_number
from cli.text import bar, print_json, printable
from cli.waiting import NOT_CONFIRMED, STILL_OPEN, follow
from cli.windows import add_window_options, windows_of
from flownexus.firmware.package import CHUNK_BYTES, VERSION_PATH, Success
from flownexus.firmware.state import ENDED

BAR: Final = 24  # characters
MAX_CHUNK_TRIES: Final = 5


def add_commands(
    commands: Any, output: Sequence[argparse.ArgumentParser], waiting: Sequence[argparse.ArgumentParser]
) -> None:
    """Add these commands."""
    firmware = commands.add_parser("firmware", help="upload, list, show and retire firmware packages")
    packages = firmware.add_subparsers(dest="firmware_command", required=True, metavar="COMMAND")
    upload_ = packages.add_parser(
        "upload", parents=output, help="upload a package; resumes an interrupted upload"
    )
    upload_.add_argument("file", type=Path, metavar="FILE", help="such as app.signed.bin")
    upload_.add_argument(
        "--version",
        required=True,
        metavar="TEXT",
        help="the version that a device reports once it runs the package",
    )
    upload_.add_argument("--label", metavar="TEXT", help="a name for people")
    upload_.add_argument(
        "--model", metavar="TEXT", help="model number (3/0/1) of the devices that the package is for"
    )
    upload_.add_argument(
        "--version-path",
        default=VERSION_PATH,
        metavar="PATH",
        help=f"where a device reports its version (default {VERSION_PATH})",
    )
    upload_.add_argument(
        "--success",
        choices=[str(each) for each in Success],
        default=str(Success.VERSION),
        help="what confirms an update: the reported version (default), or result 1 in /5/0/5",
    )
    upload_.add_argument(
        "--uri",
        metavar="URI",
        help="URI for /5/0/1 instead of ours, such as /binaries/{token}; {token} is the update's token",
    )
    upload_.set_defaults(run=upload)
    listed = packages.add_parser("list", parents=output, help="list packages, newest first")
    listed.set_defaults(run=list_packages)
    for name, run, help_ in (
        ("show", show_package, "show a package"),
        ("retire", retire, "stop serving a package"),
    ):
        one = packages.add_parser(name, parents=output, help=help_)
        one.add_argument("package", metavar="PACKAGE", help="its number, label or version")
        one.set_defaults(run=run)
    start = commands.add_parser("update", parents=waiting, help="update a device's firmware")
    start.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    start.add_argument("package", metavar="PACKAGE", help="its number, label or version")
    add_window_options(start)
    start.set_defaults(run=update)
    updates_ = commands.add_parser("updates", help="list, show and cancel updates")
    several = updates_.add_subparsers(dest="updates_command", required=True, metavar="COMMAND")
    listed = several.add_parser("list", parents=output, help="list updates, newest first")
    listed.add_argument("endpoint", metavar="ENDPOINT", nargs="?", help="list only those of this device")
    listed.add_argument("--open", action="store_true", help="list only open ones")
    listed.set_defaults(run=list_updates)
    number = row_number("an update", "flownexus updates list")
    shown = several.add_parser("show", parents=waiting, help="show an update with its steps")
    shown.add_argument("id", type=number, metavar="ID", help="the number of the update")
    shown.set_defaults(run=show_update)
    reason = several.add_parser("why", parents=output, help="explain why an update is still open")
    reason.add_argument("id", type=number, metavar="ID", help="the number of the update")
    reason.set_defaults(run=why_update)
    cancelled = several.add_parser("cancel", parents=output, help="cancel an update")
    cancelled.add_argument("id", type=number, metavar="ID", help="the number of the update")
    cancelled.set_defaults(run=cancel_update)


# ---------------------------------------------------------------------------------------------------------
# Packages


def upload(client: Client, given: argparse.Namespace) -> int:
    """Upload a package in chunks; those that were received before are not sent again."""
    try:
        with given.file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            body = {
                "version": given.version,
                "file_name": given.file.name,
                "size": size,
                "sha256": digest,
                "version_path": given.version_path,
                "success": given.success,
                **{name: text for name in ("label", "model", "uri") if (text := getattr(given, name))},
            }
            package = client.request("POST", f"{API}/firmware", body)
            missing = package.get("missing_chunks", [])
            for done, number in enumerate(missing, start=1):
                file.seek(number * CHUNK_BYTES)
                _send_chunk(client, package["id"], number, file.read(CHUNK_BYTES))
                _bar(done / len(missing), f"{given.file.name}  {size:,} bytes", quiet=given.json)
    except OSError as error:
        raise ClientError(f"cannot read {given.file}: {error.strerror or error}") from None
    package = client.request("POST", f"{API}/firmware/{package['id']}/complete")
    return _print_package(package, given)


def _send_chunk(client: Client, id_: int, number: int, content: bytes) -> None:
    """Send a chunk, with retries: the request is idempotent."""
    for attempt in range(1, MAX_CHUNK_TRIES + 1):
        try:
            client.request("PUT", f"{API}/firmware/{id_}/chunks/{number}", content=content)
        except ClientError:
            if attempt == MAX_CHUNK_TRIES:
                raise
            time.sleep(attempt)
        else:
            return


def list_packages(client: Client, given: argparse.Namespace) -> int:
    """List packages, the newest first."""
    found = client.pages(f"{API}/firmware", "firmware", {})
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("there are no packages yet\n")
    for package in found:
        sys.stdout.write(printable(_package_line(package)) + "\n")
    return 0


def show_package(client: Client, given: argparse.Namespace) -> int:
    """Show a package."""
    return _print_package(client.request("GET", f"{API}/firmware/{package_id(client, given.package)}"), given)


def retire(client: Client, given: argparse.Namespace) -> int:
    """Stop serving a package."""
    found = client.request("DELETE", f"{API}/firmware/{package_id(client, given.package)}")
    return _print_package(found, given)


def package_id(client: Client, name: str) -> int:
    """Return the id of a package by its id, its label or its version."""
    if name.isascii() and name.isdigit():
        return int(name)
    packages = client.pages(f"{API}/firmware", "firmware", {})
    named = [each for each in packages if name in (each["label"], each["version"])]
    found = [each["id"] for each in named if not each["retired_at"]]
    if named and not found:
        newest = named[0]
        raise ClientError(f"{name!r} is package {newest['id']}, which {newest['retired_by']} retired")
    if len(found) != 1:
        many = (
            f"packages {', '.join(map(str, found))} have it: give a number"
            if found
            else "`flownexus firmware list` shows all packages"
        )
        raise ClientError(f"{name!r} is not the label or version of one package; {many}")
    return int(found[0])


def _print_package(package: Any, given: argparse.Namespace) -> int:
    if given.json:
        print_json(package)
        return 0
    sys.stdout.write(printable(_package_line(package)) + "\n")
    rows = {
        "file": package["file_name"],
        "sha256": package["sha256"],
        "model": package["model"] or "any",
        "confirmed by": f"the version at {package['version_path']}"
        if package["success"] == Success.VERSION
        else "result 1",
    }
    header = package["mcuboot"]
    if header:
        flags = f" ({', '.join(header['flags'])})" if header["flags"] else ""
        rows["MCUboot image"] = f"version {header['version']}, {header['image_bytes']:,} bytes{flags}"
    for name, text in rows.items():
        sys.stdout.write(printable(f"  {name}: {text}") + "\n")
    return 0


def _package_line(package: Any) -> str:
    state = (
        f"retired by {package['retired_by']}"
        if package["retired_at"]
        else "ready"
        if package["completed_at"]
        else "being uploaded"
    )
    label = f" {package['label']}" if package["label"] else ""
    return f"package {package['id']}{label}  version {package['version']}  {package['size']:,} bytes  {state}"


# ---------------------------------------------------------------------------------------------------------
# Updates


def update(client: Client, given: argparse.Namespace) -> int:
    """Start the update of a device; with --wait, wait for its end."""
    body = {
        "endpoint": given.endpoint,
        "firmware": package_id(client, given.package),
        **windows_of(given),
    }
    return _follow(client, client.request("POST", f"{API}/updates", body)["id"], given)


def show_update(client: Client, given: argparse.Namespace) -> int:
    """Show an update with its steps; with --wait, wait for its end."""
    return _follow(client, given.id, given)


def list_updates(client: Client, given: argparse.Namespace) -> int:
    """List updates, the newest first."""
    query = without_none({"limit": "50", "endpoint": given.endpoint})
    query |= {"open": "true"} if given.open else {}
    found = client.request("GET", f"{API}/updates?{urlencode(query)}")["updates"]
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("there are no such updates\n")
    for each in found:
        sys.stdout.write(printable(_update_line(each)) + "\n")
    return 0


def why_update(client: Client, given: argparse.Namespace) -> int:
    """Print the state of an update, and what it waits for, in one sentence."""
    found = client.request("GET", f"{API}/updates/{given.id}/why")
    sys.stdout.write((json.dumps(found) if given.json else printable(found["why"])) + "\n")
    return 0


def cancel_update(client: Client, given: argparse.Namespace) -> int:
    """Cancel an update."""
    found = client.request("DELETE", f"{API}/updates/{given.id}")
    sys.stdout.write((json.dumps(found) if given.json else printable(_update_line(found))) + "\n")
    return 0


def _follow(client: Client, id_: int, given: argparse.Namespace) -> int:
    shown = 0

    def show_steps(found: Any) -> None:
        nonlocal shown
        for step in found["steps"][shown:]:
            _clear_bar()
            sys.stdout.write(printable(f"{step['time'][11:19]}  {step['state']:<11}  {step['words']}") + "\n")
        shown = len(found["steps"])
        if found["state"] == "DOWNLOADING" and found["percent"] is not None:
            _bar(found["percent"] / 100, _rate(found), quiet=False)
        sys.stdout.flush()

    ask = partial(client.request, "GET", f"{API}/updates/{id_}")
    found = follow(given, ask(), ask, lambda found: found["state"] in ENDED, show_steps)
    _clear_bar()
    sys.stdout.write((json.dumps(found) if given.json else printable(_update_line(found))) + "\n")
    if not given.wait or found["state"] in ("CONFIRMED", "SKIPPED"):
        return 0
    if found["state"] in ENDED:
        return NOT_CONFIRMED
    sys.stderr.write(printable(client.request("GET", f"{API}/updates/{id_}/why")["why"]) + "\n")
    sys.stderr.write(f"the update is still open; to wait longer: flownexus updates show {id_} --wait\n")
    return STILL_OPEN


def _update_line(found: Any) -> str:
    percent = "" if found["percent"] is None else f"  {found['percent']:.0f} %"
    what = f"update {found['id']}  {found['endpoint']}  to {found['label'] or found['version']}"
    return f"{what}  {found['state']}{percent}: {found['words']}"


def _rate(found: Any) -> str:
    rate = found["bytes_per_second"]
    return "" if rate is None else f"{rate / 1000:,.1f} kB/s"


def _bar(share: float, text: str, *, quiet: bool) -> None:
    """Replace the progress bar on a terminal."""
    if quiet or not sys.stderr.isatty():
        return
    sys.stderr.write(f"\r\x1b[K{bar(share, BAR)} {share:4.0%}  {printable(text)}")
    sys.stderr.write("\n" if share >= 1 else "")
    sys.stderr.flush()


def _clear_bar() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
