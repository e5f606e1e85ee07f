"""Secrets: random, made once, in files that only their owner can read."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class SecretError(ValueError):
    """A secret's name or value is not acceptable."""


class SecretFolder:
    """A folder with one file a secret, as OpenFaaS mounts them into functions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return a secret's file."""
        if not _NAME.fullmatch(name):
            raise SecretError(f"a secret's name is of a-z, 0-9, - and ., not {name!r}")
        return self.folder / name

    def random(self, name: str) -> str:
        """Return a secret, made up at first use."""
        if name not in self:
            self.write(name, secrets.token_urlsafe(32))
        return self.read(name)

    def read(self, name: str) -> str:
        """Return a secret."""
        return self.path(name).read_text(encoding="utf-8").strip()

    def write(self, name: str, value: str) -> None:
        """Set a secret; a reader sees the old value or the new one, never a half."""
        if not value:
            raise SecretError(f"secret {name} would be empty")
        path = self.path(name)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        write_private(path, value)

    def remove(self, name: str) -> None:
        """Remove a secret."""
        self.path(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all secrets."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.path(name).is_file()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)
