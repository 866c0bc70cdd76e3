"""The Ray that a run trains on: the cluster's, where the run is on one, else a private one on the run's own slots."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.base.text import counted
from orchestrator.onray.cluster import Reserved, cluster_ray
from orchestrator.onray.meeting import RayMeeting, gather, told_to_go
from orchestrator.onray.private import private_ray
from orchestrator.raytrain.places import Places
from orchestrator.raytrain.settings import set_environment
from orchestrator.raytrain.task import meeting_folder
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.logs import say
from orchestrator.spec.regnet import RegNetWorkload


@dataclass(frozen=True)
class Room:
    """What Ray Train may use.

    Attributes:
        least: workers; with fewer it waits.
        most: workers.
        scratch: a folder for what Ray Train itself writes, readable on all nodes.
        resources: of each worker, in Ray's words.
        places: of the workers; None: all that Ray has is the run's.
    """

    least: int
    most: int
    scratch: Path
    resources: dict[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    places: Places | None = None

    @property
    def workers(self) -> int | tuple[int, int]:
        """As Ray Train takes it: a number, or the fewest and the most."""
        return self.most if self.least == self.most else (self.least, self.most)


@contextmanager
def ray_for(context: RunContext, workload: RegNetWorkload, on_lost: Callable[[str], None]) -> Iterator[Room | None]:
    """Connect this process to the Ray that the run trains on, as long as the context lasts.

    On a Ray cluster it is the cluster's, which places the workers. Elsewhere it is a private one on the run's own
    slots, a worker's slot being one of Ray's CPUs; other nodes of the run join it.

    Args:
        context: the run.
        workload: what is trained.
        on_lost: told, by another thread, which of Ray's daemons died; nothing can go on then.

    Returns:
        What may be used there; None where the run was asked to stop meanwhile.
    """
    set_environment()
    if (reserved := Reserved.of(os.environ)) is not None:
        with cluster_ray(reserved, on_lost):
            places = Places.of(context.run, context.token, reserved.nodes)
            yield replace(_room(context, workload, dict(reserved.each)), places=places)
        return
    with _own_ray(context, workload, on_lost) as room:
        yield room


@contextmanager
def _own_ray(context: RunContext, workload: RegNetWorkload, on_lost: Callable[[str], None]) -> Iterator[Room | None]:
    meeting = RayMeeting(context.run) if context.slots > context.node_slots else None
    gpus, host = workload.resources.gpus_per_worker, context.host if meeting is not None else None
    each = {"CPU": 1.0} | ({"GPU": float(gpus)} if gpus else {})
    ray = private_ray(context.node_slots, context.node_slots * gpus, on_lost, host)
    # Told while Ray is there, too: a node that loses it before has failed.
    with told_to_go(meeting), ray as (_, head), told_to_go(meeting):
        if meeting is not None:
            meeting.announce(head)
        yield _room(context, workload, each) if meeting is None or _gather(context) else None


def _room(context: RunContext, workload: RegNetWorkload, each: dict[str, float]) -> Room:
    most = min(context.slots, workload.workers.max)
    return Room(min(workload.workers.min, most), most, meeting_folder(context.run) / "ray", each)


def _gather(context: RunContext) -> bool:
    """Wait for the slots of the other nodes; False where the run is to stop."""
    there = gather(context.slots, lambda: context.should_stop() is not None)
    if there is not None and there < context.slots:
        say(f"Ray has {there} of {counted(context.slots, 'slot')}")
    return there is not None
