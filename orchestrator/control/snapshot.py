"""The scheduler's snapshot, taken from the store and the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.clock import Clock
from orchestrator.control.demands import at_width, job_of, running_job
from orchestrator.control.facts import Facts, FactsReader
from orchestrator.control.foreign import FOREIGN_ERRORS
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.scheduling.cluster import Node, Window
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.profiles import teams_of, windows_of
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Usage
from orchestrator.spec.profile import ClusterProfile
from orchestrator.store.jobs import OpenJob
from orchestrator.store.records import RunRecord

_LOG = logging.getLogger(__name__)

BackOff = Callable[[OpenJob], float | None]
"""When a job may start again, in seconds since the epoch; None where it may at once."""

Known = dict[str, tuple[tuple[object, ...], Job | None]]
"""Waiting jobs by identifier, each with what it was made of: of a long queue most are the same in the next snapshot.
None where the row is no job."""

Believed = Callable[[], Mapping[str, int] | None]
"""Slots of each node that others are believed to hold; None: nobody has looked yet."""

COMES = "an autoscaler brings it when something waits for it"
BELIEVED_AFTER = 10.0
"""Seconds after which slots that the engine has given to nobody of ours are believed to be others'."""


def current_snapshot(site: Site) -> Snapshot:
    """The queue and the cluster as they are now; any thread may ask.

    Raises:
        BackendUnavailable: the engine does not say what it has.
    """
    return Snapshots().take(site, site.backend.capacity())


class Snapshots:
    """Takes the same ones again and again: of a long queue only what changed is made anew. For one thread at a time.

    Args:
        believed: slots of each node that others are believed to hold; None: whatever is missing now is theirs.
    """

    def __init__(self, believed: Believed = lambda: None) -> None:
        self._believed = believed
        self._reader = FactsReader()
        self._known: Known = {}

    def take(self, site: Site, capacity: Capacity) -> Snapshot:
        """The queue, and the cluster with this capacity, as they are now; always of the same site."""
        facts = self._reader.read(site.store)
        held, believed, now = held_by_others_now(facts, capacity), self._believed(), site.clock.now()
        if believed is not None:
            held = {name: min(slots, believed.get(name, 0)) for name, slots in held.items()}
        return snapshot_of(facts, capacity, site.profile, now=now, held_by_others=held, known=self._known)


def snapshot_of(
    facts: Facts,
    capacity: Capacity,
    profile: ClusterProfile,
    *,
    now: float,
    held_by_others: Mapping[str, int],
    back_off: BackOff = lambda job: job.not_before,
    known: Known | None = None,
) -> Snapshot:
    """What `decide` sees.

    Args:
        facts: of the store.
        capacity: of the engine.
        profile: the cluster.
        now: seconds since the epoch.
        held_by_others: slots of each node that others than this server hold.
        back_off: when a job may start again.
        known: waiting jobs of the last snapshot.
    """
    return Snapshot(
        now=now,
        nodes=_nodes(facts, capacity, profile, held_by_others, now),
        pending=_pending(facts, profile, back_off, known if known is not None else {}),
        running=tuple(_running(facts.jobs[run.job], run, now) for run in facts.active),
        teams=teams_of(profile),
        usage=tuple(Usage(used.team, used.slot_seconds, used.at) for used in facts.usage),
        max_workers=profile.limits.max_workers,
        slot_kind=capacity.slot_kind,
    )


def held_by_others_now(facts: Facts, capacity: Capacity) -> dict[str, int]:
    """Slots of each node that are not free although no run of ours holds them, at this instant."""
    held = held_by(facts)
    missing = {node.name: node.slots - node.free - held.get(node.name, 0) for node in capacity.nodes}
    return {name: slots for name, slots in missing.items() if slots > 0}


def held_by(facts: Facts) -> dict[str, int]:
    """Slots of each node that are kept for runs."""
    held: dict[str, int] = {}
    for run in facts.active:
        each = facts.jobs[run.job].slots_per_worker
        for node, workers in run.placement:
            held[node] = held.get(node, 0) + workers * each
    return held


@dataclass(frozen=True)
class _Missing:
    slots: int
    since: float


class BelievedOthers:
    """Slots that others hold on our nodes: other servers of the user, say.

    For a moment the engine's free slots also lag behind what runs say of themselves, while their processes end. So
    what a new controller finds at first is believed where no run is letting go, later on only what has been so for a
    while.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._believed: dict[str, int] | None = None
        self._doubted: dict[str, _Missing] = {}

    def now(self) -> Mapping[str, int] | None:
        """What was believed of each node last; None: nobody has looked yet. Any thread may ask."""
        return self._believed

    def look(self, facts: Facts, capacity: Capacity) -> dict[str, int]:
        """What is to be believed of each node now."""
        seen, now = held_by_others_now(facts, capacity), self._clock.monotonic()
        if self._believed is None:
            self._believed = {} if any(map(_lets_go, facts.active)) else seen
        believed: dict[str, int] = {}
        doubted: dict[str, _Missing] = {}
        for name, slots in seen.items():
            before = self._believed.get(name, 0)
            if slots > before:
                last = self._doubted.get(name, _Missing(slots, now))
                doubted[name] = _Missing(min(last.slots, slots), last.since)
                if now - last.since >= BELIEVED_AFTER:
                    before = doubted.pop(name).slots
            believed[name] = min(slots, before)
        self._believed, self._doubted = believed, doubted
        return believed

    @property
    def doubts(self) -> bool:
        """Whether something is missing that may be back at any moment."""
        return bool(self._doubted)


def _lets_go(run: RunRecord) -> bool:
    return run.state.terminal or run.stop_cause is not None or run.resizing_from is not None


def _nodes(
    facts: Facts, capacity: Capacity, profile: ClusterProfile, held_by_others: Mapping[str, int], now: float
) -> tuple[Node, ...]:
    windows = windows_of(profile, now)
    there = tuple(
        _node(node, facts, max(0, node.slots - held_by_others.get(node.name, 0)), windows.get(node.name, ()))
        for node in capacity.nodes
    )
    return there + tuple(map(_absent, capacity.potential))


def _absent(node: NodeFacts) -> Node:
    """One that may come."""
    return Node(
        name=node.name,
        slots=node.slots,
        gpu_type=node.gpu_type,
        cpus=node.cpus,
        memory=node.memory,
        state="absent",
        note=COMES,
    )


def _node(node: NodeFacts, facts: Facts, slots: int, windows: tuple[Window, ...]) -> Node:
    mark = facts.marks.get(node.name)
    ours = mark is not None and mark.state == "drained"
    drained, note = ours or node.drained, node.note
    if node.up and mark is not None and ours:
        note = f"drained by {mark.by}" + (f": {mark.note}" if mark.note else "")
    return Node(
        name=node.name,
        slots=slots,
        gpu_type=node.gpu_type,
        cpus=node.cpus,
        memory=node.memory,
        rack=node.rack,
        state="down" if not node.up else "drained" if drained else "up",
        note=note,
        windows=windows,
        taken=node.drained,
    )


def _pending(facts: Facts, profile: ClusterProfile, back_off: BackOff, known: Known) -> tuple[Job, ...]:
    limit = profile.limits.max_time
    found: Known = {}
    for row in facts.waiting:
        not_before = back_off(row)
        releasing = row.id in facts.holding and row.state == str(JobState.QUEUED)
        unmet = facts.unmet(row)
        width = facts.pins.get(row.id)
        key = (row, unmet, not_before, releasing, width)
        last = known.get(row.id)
        if last is not None and last[0] == key:
            found[row.id] = last
        else:
            job = _waiting(row, unmet, limit, not_before, releasing)
            found[row.id] = (key, job if job is None or width is None else at_width(job, width))
    known.clear()
    known.update(found)
    return tuple(job for _, job in found.values() if job is not None)


def _waiting(
    row: OpenJob, unmet: tuple[str, ...], limit: float | None, not_before: float | None, releasing: bool
) -> Job | None:
    """A row that is damaged waits, and the others do not wait for it."""
    try:
        return job_of(row, limit=limit, not_before=not_before, unmet=unmet, releasing=releasing)
    except FOREIGN_ERRORS:
        _LOG.exception("job %s cannot be read", row.id)
        return None


def _running(row: OpenJob, run: RunRecord, now: float) -> Running:
    """A row that is damaged still holds its slots."""
    try:
        return running_job(row, run, now=now)
    except FOREIGN_ERRORS:
        _LOG.exception("job %s cannot be read", row.id)
        plain = row._replace(progress=None, estimate=None, needs="{}", failures="{}", claim=None)
        return running_job(plain, run, now=now)
