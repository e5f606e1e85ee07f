"""What runs while a with statement lasts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class RunsWithin(ABC):
    """Starts where a with statement is entered, and stops where it is left."""

    @abstractmethod
    def start(self) -> object:
        """Start it; return when it can be used."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it; nothing happens where it does not run."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
