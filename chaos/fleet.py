"""The devices of a trial, what they send, and how much users ask of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from chaos.trial import PREFIX

LIFETIME: Final = 600  # seconds, of registrations
SLOW_SHARE: Final = 0.2
ANSWER_TIME: Final = 1.0  # seconds that a slow device takes
OBJECTS: Final = "3+5+20+3303+3341"
WAYS: Final = ("http", "coap", "push")
"""By which firmware comes."""


@dataclass(frozen=True)
class Fleet:
    """How many devices, and how much load; durations in seconds."""

    devices: int = field(default=1000, metadata={"help": "simulated"})
    interval: float = field(
        default=5.0,
        metadata={
            "help": "between two notifications of a device; a thousand then send 200 a second, "
            "which two cores can do while things start again"
        },
    )
    operations: float = field(default=50.0, metadata={"help": "queued a second"})
    update: float = field(default=30.0, metadata={"help": "between two registration updates of a device"})
    long_poll_timeout: float = field(
        default=30.0, metadata={"help": "the lease and all else follows from it"}
    )
    seed: int = field(default=1, metadata={"help": "says what users ask of whom, and what is killed when"})

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be done."""
        if self.devices < 2:
            raise ValueError("two devices or more, since one of them is slow")

    def groups(self) -> tuple[str, ...]:
        """Return the devices as the simulator takes them; at slow ones operations are always under way.

        To each third of the others firmware comes another way.
        """
        alike = f"prefix={PREFIX},notify={self.interval:g}s,lifetime={LIFETIME},update={self.update:g}s"
        alike += f",objects={OBJECTS}"
        quick = self.devices - max(1, round(self.devices * SLOW_SHARE))
        thirds = pairwise(quick * third // len(WAYS) for third in range(len(WAYS) + 1))
        return (
            *(
                f"{alike},count={last - first},start={first + 1},download={way}"
                for way, (first, last) in zip(WAYS, thirds, strict=True)
                if last > first
            ),
            f"{alike},count={self.devices - quick},start={quick + 1},slow={ANSWER_TIME:g}s",
        )

    def names(self) -> list[str]:
        """Return the devices' endpoint names."""
        return [f"{PREFIX}{number:04d}" for number in range(1, self.devices + 1)]
