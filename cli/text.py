"""Text for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape what is no letter, sign or space: what a device told can do nothing to the terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
