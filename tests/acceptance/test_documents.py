"""The commands of the documents do what they say: each is run, page by page, in a world like `make up`'s."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.options import CLI_FILE
from tests.fixtures.nexus import Nexus

REPOSITORY = Path(__file__).resolve().parents[2]
GROUPS = None  # three devices, of which the last one sleeps
MAX_COMMAND_S = 100.0
FOLLOWS_S = 5.0
"""After so long a command that follows something is ended."""
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """Yield the lines of a page's shell blocks that call the command line, or make a file for it."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith((f".flownexus/{CLI_FILE} ", "printf ")):
                yield line


PAGES = {
    page: found
    for page in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    if (found := list(commands(page)))
}


def test_there_are_commands_in_the_documents() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "api.md", "tokens.md"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_they_say(nexus: Nexus, page: Path, tmp_path: Path) -> None:
    for command in PAGES[page]:
        line = command.replace(".flownexus/", f"'{nexus.world.home}'/", 1)
        follows = " -f" in command
        with contextlib.suppress(subprocess.TimeoutExpired) if follows else contextlib.nullcontext():
            ended = subprocess.run(
                ["bash", "-c", line],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=FOLLOWS_S if follows else MAX_COMMAND_S,
                check=False,
            )
            assert ended.returncode == 0, f"{command}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
