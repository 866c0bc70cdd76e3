"""`Announcing`: an engine that can bring machines hears what would run if they were there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.backends.protocol import Capacity, Room
from orchestrator.base.errors import OrchestratorError
from orchestrator.control.site import Site
from orchestrator.scheduling.cluster import Demand
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.snapshot import Snapshot

_LOG = logging.getLogger(__name__)
_EVERY = 10.0
"""Seconds between two words: each costs the engine something."""
_AGAIN = 600.0
"""Seconds after which the same is said once more, to an engine that may have forgotten it."""


class Announcing:
    """Asks the policy what it would start on all that may come: so quotas, limits and the order of the queue count.

    Args:
        site: where.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._told: tuple[Room, ...] | None = None
        self._asked_at = float("-inf")

    def follow(self, snapshot: Snapshot, capacity: Capacity) -> float | None:
        """Tell the engine what has changed. It is a wish: an engine that does not take it is asked again.

        Returns:
            Seconds until it is to be told although nothing changes; None: it need not be.
        """
        if not capacity.grows:
            return None
        wanted, now = tuple(wanted_room(snapshot, capacity, self._site)), self._site.clock.monotonic()
        pause = _AGAIN if wanted == self._told else 0 if self._told == () else _EVERY
        wait = self._asked_at + pause - now
        if wait > 0:
            return wait
        self._asked_at = now
        try:
            self._site.backend.announce(wanted)
            self._told = wanted
        except OrchestratorError as error:
            _LOG.info("the engine was not told what waits: %s", error.message)
            return _EVERY
        return _AGAIN


def wanted_room(snapshot: Snapshot, capacity: Capacity, site: Site) -> Iterator[Room]:
    """Room for all that runs, and for what would start if all machines that may come were there.

    Args:
        snapshot: the queue and the cluster.
        capacity: says which machines may come.
        site: whose policy decides.
    """
    by_gpu = capacity.slot_kind == "gpu"
    for running in snapshot.running:
        yield _room(running.job.demand, sum(workers for _, workers in running.placement), by_gpu)
    if snapshot.pending:
        pending = {job.id: job for job in snapshot.pending}
        whole = tuple(replace(node, state="up") if node.state == "absent" else node for node in snapshot.nodes)
        for start in decide(replace(snapshot, nodes=whole), site.profile.policy).starts:
            yield _room(pending[start.job].demand, start.workers, by_gpu)


def _room(demand: Demand, workers: int, by_gpu: bool) -> Room:
    cpus, gpus = (demand.cpus, demand.slots) if by_gpu else (demand.slots, 0)
    return Room(workers, cpus, gpus, demand.memory)
