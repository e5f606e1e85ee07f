"""Campaigns: plan, start, watch and control them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from cli.client import API, Client, ClientError
from cli.firmware import package_id
from cli.numbers import row_number
from cli.text import bar, print_json, printable
from cli.waiting import agrees
from cli.windows import add_window_options, windows_of
from flownexus.campaigns.plan import DEFAULT_WAVES, Rules
from flownexus.campaigns.progress import Action

BAR: Final = 20  # characters
WEEK: Final = timedelta(days=6)
"""A weekday alone is ambiguous beyond this."""
NOT_STARTED: Final = 3
"""The exit status if the plan was shown and not started."""
HELP: Final = {
    Action.START: "start a planned campaign",
    Action.PAUSE: "start no more updates; open ones continue",
    Action.RESUME: "resume; failures up to now no longer stop it",
    Action.CANCEL: "end a campaign; --hard also cancels open updates",
    Action.RETRY: "retry failed updates",
    Action.NEXT_WAVE: "open the next wave now",
}

FLAGS: Final = {
    "approval": "a person must open each later wave",
    "joining": "devices that match later join the last wave",
}


def add_commands(commands: Any, output: Sequence[argparse.ArgumentParser]) -> None:
    """Add these commands."""
    campaign = commands.add_parser("campaign", help="update many devices, in waves")
    several = campaign.add_subparsers(dest="campaign_command", required=True, metavar="COMMAND")
    create_ = several.add_parser("create", parents=output, help="plan a campaign, show the plan, start it")
    create_.add_argument("name", metavar="NAME", help="a name for people")
    create_.add_argument("package", metavar="PACKAGE", help="its number, label or version")
    create_.add_argument(
        "endpoints", nargs="*", metavar="ENDPOINT", help="the devices; default: all that match"
    )
    create_.add_argument(
        "--endpoints-from", type=Path, metavar="FILE", help="a file with one endpoint name per line"
    )
    create_.add_argument("--filter", metavar="FILTER", help='the devices, such as "tag.site==berlin"')
    create_.add_argument("--model", metavar="TEXT", help="model number (3/0/1) of the devices")
    create_.add_argument(
        "--from-version",
        action="append",
        metavar="TEXT",
        help="version (3/0/3) of the devices; may be repeated",
    )
    create_.add_argument(
        "--waves", default=",".join(DEFAULT_WAVES), metavar="LIST", help='such as "1,10 %%,rest", the default'
    )
    create_.add_argument(
        "--seed",
        type=int,
        metavar="NUMBER",
        help="seed of the device order; the same seed gives the same order",
    )
    create_.add_argument("--starts-at", metavar="TIME", help="such as 2026-01-02T03:04:05Z")
    create_.add_argument("--ends-at", metavar="TIME", help="no update starts after this time")
    _add_rules(create_)
    create_.add_argument("--yes", action="store_true", help="start it without asking")
    create_.set_defaults(run=create)
    listed = several.add_parser("list", parents=output, help="list campaigns, newest first")
    listed.set_defaults(run=list_)
    number = row_number("a campaign", "flownexus campaign list")
    shown = several.add_parser("show", parents=output, help="show the progress of a campaign")
    shown.add_argument("id", type=number, metavar="ID", help="the number of the campaign")
    shown.add_argument("--targets", metavar="STATE", help="list its devices in a state, such as FAILED")
    shown.set_defaults(run=show)
    for action in Action:
        command = several.add_parser(str(action), parents=output, help=HELP[action])
        command.add_argument("id", type=number, metavar="ID", help="the number of the campaign")
        if action is Action.CANCEL:
            command.add_argument("--hard", action="store_true", help="also cancel open updates")
        command.set_defaults(run=act)


def _add_rules(create_: argparse.ArgumentParser) -> None:
    for name, default in vars(Rules()).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(default, bool):
            create_.add_argument(option, action="store_true", help=FLAGS[name])
        elif isinstance(default, int | float):
            create_.add_argument(
                option, type=type(default), default=default, metavar="NUMBER", help=f"default {default:g}"
            )
    create_.add_argument(
        "--failures-of",
        action="append",
        metavar="KIND=PERCENT",
        help="limit for one kind of failure, such as rolled-back=1; may be repeated",
    )
    add_window_options(create_)


def _rules(given: argparse.Namespace) -> dict[str, Any]:
    rules: dict[str, Any] = {
        name: getattr(given, name)
        for name, default in vars(Rules()).items()
        if isinstance(default, int | float)
    }
    if given.failures_of:
        rules["failures_of"] = dict(_kind_and_share(text) for text in given.failures_of)
    return rules | windows_of(given)


def _kind_and_share(text: str) -> tuple[str, float]:
    kind, equals, share = text.partition("=")
    try:
        return kind, float(share if equals else "")
    except ValueError:
        raise ClientError(
            f"--failures-of {text}: write a kind and a percentage, such as rolled-back=1"
        ) from None


def create(client: Client, given: argparse.Namespace) -> int:
    """Plan a campaign, show the plan, and start it if the user agrees."""
    body: dict[str, Any] = {
        "name": given.name,
        "firmware": package_id(client, given.package),
        "waves": [wave.strip() for wave in given.waves.split(",")],
        **_rules(given),
    }
    endpoints = list(given.endpoints)
    if given.endpoints_from:
        try:
            endpoints += given.endpoints_from.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise ClientError(f"cannot read {given.endpoints_from}: {error.strerror}") from None
    optional = {
        "endpoints": [name for name in endpoints if name],
        "filter": given.filter,
        "model": given.model,
        "from_versions": given.from_version,
        "seed": given.seed,
        "starts_at": given.starts_at,
        "ends_at": given.ends_at,
    }
    body |= {name: value for name, value in optional.items() if value not in (None, [])}
    plan = client.request("POST", f"{API}/campaigns", body)
    if not given.json:
        _print_plan(plan)
    if not given.yes and not _agrees(given):
        if given.json:
            print_json(plan)
        sys.stderr.write(f"not started; to start it: flownexus campaign start {plan['id']}\n")
        return NOT_STARTED
    return _print(client.request("POST", f"{API}/campaigns/{plan['id']}/start"), given)


def _agrees(given: argparse.Namespace) -> bool:
    return not given.json and agrees("start it?") is True


def _print_plan(plan: Any) -> None:
    waves = ", ".join(str(wave["targets"]) for wave in plan["waves"])
    package = plan["label"] or plan["version"]
    sys.stdout.write(
        printable(
            f"campaign {plan['id']}: {plan['targets']} devices to {package}, {len(plan['waves'])} waves "
            f"({waves}), {_end(plan['estimated_seconds'])}"
        )
        + "\n"
    )
    if plan["rules"].get("joining"):
        sys.stdout.write(
            "devices that match later join the last wave, until the campaign ends or is cancelled\n"
        )
    if plan["left_out"]:
        sys.stdout.write(f"{plan['left_out']} devices do not match and are left out\n")


def _end(seconds: int | None) -> str:
    """Say when a campaign ends if it starts now."""
    if seconds is None:
        return "its end cannot be estimated"
    takes = timedelta(seconds=seconds)
    ends = datetime.now().astimezone() + takes
    return f"ends about {ends:%A %H:%M}" if takes < WEEK else f"ends about {ends:%A %d %B}"


def list_(client: Client, given: argparse.Namespace) -> int:
    """List campaigns, the newest first."""
    found = client.pages(f"{API}/campaigns", "campaigns", {})
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("there are no campaigns yet\n")
    for each in found:
        sys.stdout.write(printable(_line(each)) + "\n")
    return 0


def show(client: Client, given: argparse.Namespace) -> int:
    """Show a campaign's progress, or its devices in one state."""
    if given.targets is None:
        return _print(client.request("GET", f"{API}/campaigns/{given.id}"), given)
    query = {"state": given.targets}
    found = client.pages(f"{API}/campaigns/{given.id}/targets", "targets", query)
    if given.json:
        print_json(found)
        return 0
    for each in found:
        words = f"{each['endpoint']}  wave {each['wave']}  {each['state']}: {each['words'] or ''}"
        sys.stdout.write(printable(words) + "\n")
    return 0


def act(client: Client, given: argparse.Namespace) -> int:
    """Start, pause, resume, cancel, retry, or open the next wave."""
    query = f"?{urlencode({'hard': 'true'})}" if getattr(given, "hard", False) else ""
    path = f"{API}/campaigns/{given.id}/{given.campaign_command}{query}"
    return _print(client.request("POST", path), given)


def _print(campaign: Any, given: argparse.Namespace) -> int:
    if given.json:
        print_json(campaign)
        return 0
    sys.stdout.write(printable(_line(campaign)) + "\n")
    for wave in campaign["waves"]:
        ended = wave["targets"] - wave["waiting"] - wave["open"]
        share = ended / wave["targets"] if wave["targets"] else 1.0
        mark = "open" if wave["wave"] <= campaign["wave"] else "later"
        sys.stdout.write(
            f"  wave {wave['wave']} ({mark}) {bar(share, BAR)} "
            f"{ended} of {wave['targets']}: {wave['succeeded']} succeeded, {wave['failed']} failed, "
            f"{wave['open']} open, {wave['waiting']} waiting\n"
        )
    if campaign["failures"]:
        kinds = ", ".join(f"{kind} {count}" for kind, count in campaign["failures"].items())
        sys.stdout.write(printable(f"  failures: {kinds}") + "\n")
    if campaign["left_out"]:
        sys.stdout.write(
            f"  left out: {campaign['left_out']}; for the reasons: "
            f"flownexus campaign show {campaign['id']} --targets LEFT_OUT\n"
        )
    for step in campaign["steps"]:
        who = step["by"] or "automatic"
        sys.stdout.write(printable(f"  {step['time'][:19]}  {who}: {step['words']}") + "\n")
    return 0


def _line(campaign: Any) -> str:
    package = campaign["label"] or campaign["version"]
    what = f"campaign {campaign['id']}  {campaign['name']}  to {package}"
    return f"{what}  {campaign['status']}: {campaign['words']}"
