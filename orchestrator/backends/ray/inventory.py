"""A look at what a Ray cluster has: its nodes, what is used of them, and by whom."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.backends.protocol import Capacity, Others
from orchestrator.backends.ray.announcer import is_announcement
from orchestrator.backends.ray.capacity import capacity_of, slot_kind
from orchestrator.backends.ray.drains import Drains
from orchestrator.backends.ray.jobs import JobList
from orchestrator.backends.ray.nodes import Busy, RayNode, Used, busy_jobs, nodes_of, used_by_status, used_by_text
from orchestrator.backends.ray.records import Record
from orchestrator.backends.ray.rest import RayRest
from orchestrator.base.clock import Clock
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.text import one_line
from orchestrator.spec.ray import RaySection

_LOG = logging.getLogger(__name__)
_DOOR_EVERY = 600.0
"""Seconds between two looks whether Ray asks for a token."""
_BUSY_FOR = 5.0
"""Seconds for which a list of others' jobs holds."""
_SHOWN = 3
_WRONG = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class Inventory:
    """Threads may share it.

    Args:
        rest: Ray.
        jobs: its list of them.
        section: of the profile.
        clock: what time it is.
    """

    def __init__(self, rest: RayRest, jobs: JobList, section: RaySection, clock: Clock) -> None:
        self._rest = rest
        self._jobs = jobs
        self._drains = Drains()
        self._types = section.autoscaler
        self._clock = clock
        self._lock = threading.Lock()
        self._kind = slot_kind((), self._types)
        self._door: tuple[float, bool] | None = None
        self._busy: tuple[float, Sequence[Busy]] | None = None
        self._mute = False

    @property
    def kind(self) -> str:
        """What a slot is; a cluster that had a GPU once counts GPUs for good."""
        return self._kind

    def hear(self, records: Sequence[Record]) -> None:
        """Take in what the drivers of allocations have left for us; also to be called when one is over."""
        self._drains.hear(records)

    def capacity(self, ours: Sequence[Record]) -> Capacity:
        """What there is and what is free.

        Args:
            ours: allocations that are not over, whose drivers tell which nodes Ray drains, and which are counted where
                Ray does not say what is used.
        """
        self.hear(ours)
        rows = self._rest.nodes()
        try:
            nodes = nodes_of(rows)
        except _WRONG:
            raise self._rest.wrong("GET /api/v0/nodes") from None
        used = self._used()
        if used is None:
            used = _by_records(nodes, ours)
        if slot_kind(nodes, self._types) == "gpu":
            self._kind = "gpu"
        alive = {node.id for node in nodes if node.ended is None}
        draining = self._drains.of(alive, {record.allocation for record in ours})
        now = self._clock.now()
        found = capacity_of(nodes, used, self._types, kind=self._kind, now=now, draining=draining)
        return replace(found, faults=self._faults()) if found.largest_gang else found

    def others(self, ours: Sequence[Record]) -> Others:
        """Jobs of Ray's that are not ours; none while Ray is silent."""
        try:
            busy = self._running()
        except BackendUnavailable:
            return Others()
        if busy is None:
            return Others(users="other jobs of Ray, whose list of them is too long to look through")
        names, folders = {record.allocation for record in ours}, [f"{record.directory}/" for record in ours]
        others = [one for one in busy if one.name not in names and not one.left_in.startswith(tuple(folders))]
        theirs = [one_line(one.name, 60) for one in others]
        if not theirs:
            return Others(users="tasks or actors of Ray that belong to no job")
        more = f" and {len(theirs) - _SHOWN} more" if len(theirs) > _SHOWN else ""
        return Others(users=f"other jobs of Ray, of which it runs {', '.join(theirs[:_SHOWN])}{more}")

    def _running(self) -> Sequence[Busy] | None:
        """Those that run, ours included; None where the list is too long."""
        now = self._clock.monotonic()
        with self._lock:
            if self._busy is not None and now - self._busy[0] < _BUSY_FOR:
                return self._busy[1]
        rows = self._jobs.all()
        if rows is None:
            return None
        found = [one for one in busy_jobs(rows) if not is_announcement(one.name)]
        with self._lock:
            self._busy = (now, found)
        return found

    def _used(self) -> Mapping[str, Used] | None:
        """What is used of each node, by its identifier; None where Ray does not say.

        The first autoscaler, which also stands in a cluster that does not scale, writes it down every 5 s; with the
        second one only a page for people has it.
        """
        try:
            status = self._rest.cluster_status()
            used = None if status is None else used_by_status(status)
            used = used_by_text(self._rest.logical_resources()) if used is None else used
        except (BackendUnavailable, *_WRONG) as error:
            if not self._mute:
                _LOG.warning("Ray does not say what is used of its nodes; what we have launched is counted: %r", error)
            self._mute = True
            return None
        self._mute = False
        return used

    def _faults(self) -> tuple[str, ...]:
        return (f"Ray at {self._rest.url} asks nobody for a token: {_OPEN}",) if self._is_open() else ()

    def _is_open(self) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            before = self._door
        if before is not None and now - before[0] < _DOOR_EVERY:
            return before[1]
        try:
            found = self._rest.is_open()
        except BackendUnavailable:  # asked again at the next look; what was asked before has been answered
            return before is not None and before[1]
        with self._lock:
            self._door = (now, found)
        return found


_OPEN = "whoever reaches it can run anything there; start it with RAY_AUTH_MODE=token"


def _by_records(nodes: Sequence[RayNode], ours: Sequence[Record]) -> dict[str, Used]:
    """What our own allocations hold, by the nodes' identifiers."""
    ids = {node.name: node.id for node in nodes}
    found: dict[str, Used] = {}
    for record in ours:
        for name, workers in record.placement:
            if (node := ids.get(name)) is not None:
                held, each = found.get(node, Used()), record.each
                found[node] = Used(held.cpus + workers * each.cpus, held.gpus + workers * each.gpus)
    return found
