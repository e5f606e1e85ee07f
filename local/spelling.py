"""Names of settings that are none: what was misspelt would be ignored without a word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from local.options import OptionError, variables
from local.supervise.process import MARK

SETTINGS = (*variables(), "FLOWNEXUS_HOME", "FLOWNEXUS_DATABASE_URL", "FLOWNEXUS_NATS_URL")
OF_MAKE = ("PYTHON", "ARGS")
"""What the Makefile itself takes, of the targets that run a world."""
OF_CLIENTS = (
    *("FLOWNEXUS_CONSOLE", "FLOWNEXUS_LOOPBACK_GATEWAY", "FLOWNEXUS_CA_FILE"),
    *("FLOWNEXUS_GATEWAY", "FLOWNEXUS_URL", "FLOWNEXUS_LESHAN_URL", "FLOWNEXUS_COAP", "FLOWNEXUS_COAPS"),
    "FLOWNEXUS_BOOTSTRAP",
    *("FLOWNEXUS_SECRETS", "FLOWNEXUS_API_TOKEN_FILE", "FLOWNEXUS_LESHAN_TOKEN_FILE"),
    *("FLOWNEXUS_WEBHOOK_TOKEN_FILE", "FLOWNEXUS_BASIC_AUTH_PASSWORD_FILE"),
    *("FLOWNEXUS_EMBEDDED_DATABASE_URL", "FLOWNEXUS_EMBEDDED_NATS_URL"),
)
"""What a shell has that has sourced a world's file `env`."""
OF_OTHERS = ("FLOWNEXUS_POSTGRES", "FLOWNEXUS_POSTGRES_SSLMODE", MARK)
"""Grafana's, and the mark of a world's processes."""
_PREFIX = "FLOWNEXUS_"
_WORD = re.compile(r"(?:\\.|\S)+")  # make escapes spaces within a value


def check_names(environment: Mapping[str, str]) -> None:
    """Raise OptionError where make's command line, or the environment, has a setting that there is not.

    On the command line every name is a setting; in the environment, what begins with FLOWNEXUS_.
    """
    known = {*SETTINGS, *OF_MAKE, *OF_CLIENTS, *OF_OTHERS}
    given = (*_of_command_line(environment), *(name for name in environment if name.startswith(_PREFIX)))
    wrong = [name for name in dict.fromkeys(given) if name not in known]
    if wrong:
        raise OptionError(
            "\n".join(f"there is no setting {name}{_nearest(name)}" for name in wrong)
            + "\ndocs/settings.md lists all settings; those of other programs go first: NAME=value make ..."
        )


def _of_command_line(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that make was given, `make up NAME=value`."""
    _, _, variables_ = f" {environment.get('MAKEFLAGS', '')}".partition(" -- ")
    return [word.partition("=")[0].rstrip(":+?!") for word in _WORD.findall(variables_)]


def _nearest(name: str) -> str:
    without_prefix = {each.removeprefix(_PREFIX): each for each in (*SETTINGS, *OF_MAKE)}
    near = difflib.get_close_matches(name.upper().removeprefix(_PREFIX), without_prefix, 1, 0.7)
    return f": did you mean {without_prefix[near[0]]}?" if near else ""
