"""`Dispatcher`: what the policy says is carried out, on an engine that places nothing by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import BackendUnavailable, Fenced, StoreError
from orchestrator.control.announcing import Announcing
from orchestrator.control.facts import FactsReader
from orchestrator.control.mirror import Mirror
from orchestrator.control.settling import Settling
from orchestrator.control.site import Site
from orchestrator.control.snapshot import BelievedOthers, Known, snapshot_of
from orchestrator.control.starts import Starts
from orchestrator.control.troubles import Troubles
from orchestrator.control.yielding import Yielding
from orchestrator.scheduling.cluster import Placement
from orchestrator.scheduling.decisions import Decisions, Resize, Start
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.store.jobs import Stale

_LOG = logging.getLogger(__name__)


class Dispatcher:
    """Everything between two runs of a job, and what the policy asks of runs."""

    def __init__(self, site: Site, starts: Starts, troubles: Troubles) -> None:
        self._site = site
        self._starts = starts
        self._troubles = troubles
        self._yielding = Yielding(site)
        self._settling = Settling(site)
        self._announcing = Announcing(site)
        self.others = BelievedOthers(site.clock)
        self._mirror = Mirror(site.profile.policy)
        self._known: Known = {}
        self._reader = FactsReader()
        self._served: tuple[int, Capacity] | None = None
        self._due: float | None = None

    def serve(self, capacity: Capacity) -> float | None:
        """One pass over the queue.

        Returns:
            Seconds until something is to be decided although nothing happens; None where nothing is.
        """
        self._settling.settle()
        now = self._site.clock.monotonic()
        version = self._site.store.version  # read before the queue, so that nothing submitted meanwhile is missed
        if self._served == (version, capacity) and (self._due is None or now < self._due):
            return None if self._due is None else self._due - now
        snapshot = self._look(capacity)
        decisions = self._mirror.decide(snapshot)
        waits = [self._announcing.follow(snapshot, capacity)]
        waits += [] if decisions.wake is None else [max(0.0, decisions.wake - self._site.clock.now())]
        self._due = min((now + wait for wait in waits if wait is not None), default=None)
        done = self._carry_out(decisions, _Free(capacity, snapshot)) and not self.others.doubts
        self._served = (version, capacity) if done and not decisions else None
        if done and (decisions.preempts or decisions.resizes):
            return 0.0  # the next pass tells the runs
        if not done:
            return self._site.profile.watch.poll
        return None if self._due is None else self._due - now

    def _look(self, capacity: Capacity) -> Snapshot:
        """The snapshot; what waits for a job that did not succeed leaves the queue."""
        facts = self._reader.read(self._site.store)
        self._settling.fail_dependants(facts)
        held = self.others.look(facts, capacity)
        now = self._site.clock.now()
        profile, back_off, known = self._site.profile, self._settling.back_off, self._known
        return snapshot_of(facts, capacity, profile, now=now, held_by_others=held, back_off=back_off, known=known)

    def _carry_out(self, decisions: Decisions, free: _Free) -> bool:
        """Whether all of it could be done."""
        if not self._yielding.ask(decisions):
            return False
        settled = True
        for start in decisions.starts:
            if not free.take(start.job, start.placement):
                settled = False
            elif not self._begin(start, free.slots):
                return False
        for resize in decisions.resizes:
            if resize.for_job is None:
                settled = self._grow(resize, free) and settled
        return settled

    def _begin(self, start: Start, node_slots: Mapping[str, int]) -> bool:
        return self._guarded(start.job, lambda: self._starts.begin(start, node_slots), in_trouble=True)

    def _grow(self, resize: Resize, free: _Free) -> bool:
        def ask() -> bool:
            return free.take(resize.job, resize.placement) and self._yielding.grow(resize, free.slots)

        return self._guarded(resize.job, ask, in_trouble=False)

    def _guarded(self, job: str, ask: Callable[[], bool], *, in_trouble: bool) -> bool:
        """One job's trouble is not the others'."""
        try:
            done = ask()
            self._troubles.over(job)
        except (BackendUnavailable, Fenced, StoreError):
            raise
        except Stale as error:
            _LOG.info("decided anew: %s", error.message)
            return False
        except Exception as error:
            self._troubles.met(job, error)
            return in_trouble
        return done


class _Free:
    """What the engine itself calls free: for a moment it lags behind what runs say of themselves.

    Attributes:
        slots: that each node has for us.
    """

    def __init__(self, capacity: Capacity, snapshot: Snapshot) -> None:
        self.slots = {node.name: node.slots for node in snapshot.nodes}
        self._free = {node.name: node.free for node in capacity.nodes}
        self._held = {running.job.id: dict(running.placement) for running in snapshot.running}
        known = [*snapshot.pending, *(running.job for running in snapshot.running)]
        self._each = {job.id: job.demand.slots for job in known}

    def take(self, job: str, placement: Placement) -> bool:
        """Whether what a job takes beside what it holds is free; it is not any more."""
        held, each = self._held.get(job, {}), self._each[job]
        wanted = {node: (workers - held.get(node, 0)) * each for node, workers in placement}
        if any(slots > self._free.get(node, 0) for node, slots in wanted.items() if slots > 0):
            return False
        for node, slots in wanted.items():
            self._free[node] -= slots
        return True
