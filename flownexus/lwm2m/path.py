"""LwM2M paths: object, object instance, resource, resource instance."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

MAX_ID = 65534
"""The largest id; 65535 is reserved (OMA LwM2M Core 1.1, 7.3)."""

_PATH = re.compile(r"/?(\d{1,5})(?:/(\d{1,5})(?:/(\d{1,5})(?:/(\d{1,5}))?)?)?/?", re.ASCII)


class BadPathError(ValueError):
    """The text is not a LwM2M path; write it like /3303/0/5700."""


def check_id(name: str, value: int) -> int:
    """Return `value` where it is an id that LwM2M allows; raise BadPathError naming `name` where not."""
    if not 0 <= value <= MAX_ID:
        raise BadPathError(f"{name} {value} is outside 0..{MAX_ID}")
    return value


class Path(msgspec.Struct, frozen=True, gc=False):
    """A path of one to four ids; what is not given is None."""

    object_id: int
    object_instance_id: int | None = None
    resource_id: int | None = None
    resource_instance_id: int | None = None

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(text: str) -> Path:
        """Read a path such as "/3303/0/5700"; raise BadPathError where it is not one."""
        match = _PATH.fullmatch(text)
        if match is None:
            raise BadPathError(
                f"{text[:64]!r} is not a LwM2M path; write one to four ids, such as /3303/0/5700"
            )
        named = zip(Path.__struct_fields__, match.groups(), strict=True)
        return Path(*(check_id(name, int(part)) for name, part in named if part is not None))

    @property
    def ids(self) -> tuple[int, ...]:
        """Return the ids that are given."""
        given = (self.object_id, self.object_instance_id, self.resource_id, self.resource_instance_id)
        return tuple(part for part in given if part is not None)

    @property
    def depth(self) -> int:
        """Return how many ids are given: 1 object, 2 object instance, 3 resource, 4 resource instance."""
        return len(self.ids)

    def __str__(self) -> str:
        """Write the path as LwM2M does: /3303/0/5700."""
        return "/" + "/".join(map(str, self.ids))


def below(above: tuple[int, ...], own_id: int) -> Path:
    """Return the path of what has this id below one to three others, or none."""
    return Path(*(*above, own_id))
