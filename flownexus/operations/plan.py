"""The observe plan: what is read and observed when a device registers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import KINDS


class PlanRow(NamedTuple):
    """One row of the plan; an absent instance stands for each that the device has."""

    operation_type: str
    object_id: int
    object_instance_id: int | None
    resource_id: int | None
    pmax: int | None = None
    """Seconds within which each device is known to report."""


def planned_operations(plan: Iterable[PlanRow], objects: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield (operation type, path) for what the plan wants and the device has, in the order of planned()."""
    for row, path in planned(plan, objects):
        yield row.operation_type, str(path)


def planned(plan: Iterable[PlanRow], objects: Collection[str]) -> Iterator[tuple[PlanRow, Path]]:
    """Yield each row of the plan with the path of what the device has of it, observations first.

    What is observed comes by itself from then on: a device that waits for a read sends nothing meanwhile.
    `objects` are the paths of the registration: /3/0 for an instance, /5 for an object without one.
    """
    has = {Path.parse(path) for path in objects}
    for row in sorted(plan, key=lambda row: not KINDS[row.operation_type].observes):
        if row.object_instance_id is not None:
            instances = [row.object_instance_id] if Path(row.object_id, row.object_instance_id) in has else []
        else:
            instances = sorted(
                path.object_instance_id
                for path in has
                if path.object_id == row.object_id and path.object_instance_id is not None
            )
            if row.resource_id is None:
                if instances or Path(row.object_id) in has:
                    yield row, Path(row.object_id)
                continue
        for instance in instances:
            yield row, Path(row.object_id, instance, row.resource_id)
