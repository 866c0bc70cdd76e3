"""The Ray that a run trains on: the one function to change where that is another one than the run's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.text import counted
from orchestrator.onray.meeting import RayMeeting
from orchestrator.onray.private import private_ray
from orchestrator.raytrain.settings import set_environment
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.logs import say
from orchestrator.spec.regnet import RegNetWorkload

_NODES_WITHIN = 60.0
"""Who comes later is used all the same."""
_TICK = 0.2


@dataclass(frozen=True)
class Room:
    """What Ray Train may use.

    Attributes:
        least: workers; with fewer it waits.
        most: workers.
        scratch: a folder for what Ray Train itself writes, readable on all nodes.
        resources: of each worker, in Ray's words.
    """

    least: int
    most: int
    scratch: Path
    resources: dict[str, float] = field(default_factory=lambda: {"CPU": 1.0})

    @property
    def workers(self) -> int | tuple[int, int]:
        """As Ray Train takes it: a number, or the fewest and the most."""
        return self.most if self.least == self.most else (self.least, self.most)


@contextmanager
def ray_for(context: RunContext, workload: RegNetWorkload, on_lost: Callable[[str], None]) -> Iterator[Room | None]:
    """Connect this process to the Ray that the run trains on, as long as the context lasts.

    It is a private one on the run's own slots, a worker's slot being one of Ray's CPUs; other nodes of the run join it.

    Args:
        context: the run.
        workload: what is trained.
        on_lost: told, by another thread, which of Ray's daemons died; nothing can go on then.

    Returns:
        What may be used there; None where the run was asked to stop meanwhile.
    """
    set_environment()
    elsewhere = context.slots - context.node_slots
    meeting = RayMeeting(context.run) if elsewhere else None
    gpus = workload.resources.gpus_per_worker
    try:
        host = context.host if elsewhere else None
        with private_ray(context.node_slots, context.node_slots * gpus, on_lost, host) as (_, head):
            if meeting is not None:
                meeting.announce(head)
            there = _gather(context) if elsewhere else context.slots
            yield None if there is None else _room(context, workload, there)
            if meeting is not None:  # told while Ray is there: a node that loses it before has failed
                meeting.end()
    finally:
        if meeting is not None:
            meeting.end()


def _room(context: RunContext, workload: RegNetWorkload, there: int) -> Room:
    most = min(context.slots, workload.workers.max)
    least = min(workload.workers.min, most)
    resources = {"CPU": 1.0} | ({"GPU": float(gpus)} if (gpus := workload.resources.gpus_per_worker) else {})
    if there < most:
        say(f"Ray has {there} of {counted(most, 'slot')}")
    return Room(least, most, context.run.path / "raytrain" / "ray", resources)


def _gather(context: RunContext) -> int | None:
    """Wait for the slots of the other nodes, not for ever: how many are there, None where the run is to stop."""
    deadline = time.monotonic() + _NODES_WITHIN
    while (there := _slots_there()) < context.slots and time.monotonic() < deadline:
        if context.should_stop() is not None:
            return None
        time.sleep(_TICK)
    return there


def _slots_there() -> int:
    import ray

    return int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
