"""An earlier version of the project, taken out of its git history."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from local import REPOSITORY

PREVIOUS: Final = "368431a35d685572b80cb4e9da3d1d2ff7de1526"
"""The version that an upgrade is tried from where none is named."""
TIMEOUT_S: Final = 60.0


class RevisionError(RuntimeError):
    """The version cannot be had here."""


def extract(revision: str, folder: Path, *paths: str) -> None:
    """Write the files of a revision, or those below `paths`, into a folder; raise RevisionError."""
    git = ["git", "-C", str(REPOSITORY), "archive", "--format=tar", revision, "--", *paths]
    try:
        packed = subprocess.run(git, capture_output=True, check=True, timeout=TIMEOUT_S)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True, timeout=TIMEOUT_S)
    except FileNotFoundError as error:
        raise RevisionError(f"{error.filename} was not found") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        raise RevisionError(f"{revision} cannot be taken out of the git history: {said}") from error
