"""The kinds of operations with a name for what they do: each for one resource of the standard's objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.base import OnePath
from flownexus.operations.catalogue.one_path import Execute
from flownexus.operations.known_resource import Access
from flownexus.operations.write_format import WriteFormat


class Reboot(Execute, frozen=True, tag="reboot"):
    """Reboot the device: execute /3/0/4 (OMA LwM2M Core 1.1, appendix E.4)."""

    usual_path: ClassVar = Path(3, 0, 4)


class FactoryReset(Execute, frozen=True, tag="factory-reset"):
    """Give the device its factory settings again: execute /3/0/5 (OMA LwM2M Core 1.1, appendix E.4)."""

    usual_path: ClassVar = Path(3, 0, 5)


class RegistrationUpdateTrigger(Execute, frozen=True, tag="registration-update-trigger"):
    """Let the device update its registration: execute /1/0/8 (OMA LwM2M Core 1.1, appendix E.2)."""

    usual_path: ClassVar = Path(1, 0, 8)
    repetition_is_harmless: ClassVar = True


class Disable(Execute, frozen=True, tag="disable"):
    """Let the device leave for its disable timeout: execute /1/0/4 (OMA LwM2M Core 1.1, appendix E.2)."""

    usual_path: ClassVar = Path(1, 0, 4)


class SetClock(OnePath, frozen=True, tag="set-clock"):
    """Set the device's clock: write the time of sending to /3/0/13 (OMA LwM2M Core 1.1, appendix E.4)."""

    usual_path: ClassVar = Path(3, 0, 13)
    depths: ClassVar = range(3, 4)
    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.WRITE

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return all."""
        return tuple(WriteFormat)


NamedKind: TypeAlias = Reboot | FactoryReset | RegistrationUpdateTrigger | Disable | SetClock
