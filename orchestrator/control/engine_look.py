"""`EngineLook`: a site at one moment whose engine has a queue of its own: what waits here, what there, what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.backends.protocol import AllocationState, Observation, Wait
from orchestrator.control.facts import Facts
from orchestrator.control.quota import places_of
from orchestrator.control.ready import ready
from orchestrator.lifecycle.states import JobState
from orchestrator.store import allocations
from orchestrator.store.jobs import OpenJob
from orchestrator.store.records import Placed, RunRecord

Seen = Callable[[], Mapping[str, Observation]]
"""The newest observation of each allocation, as the controller has it. Any thread may ask."""

_NOTHING = Observation(AllocationState.UNKNOWN)


@dataclass(frozen=True)
class Handed:
    """A job whose run the engine has, or is about to get.

    Attributes:
        job: the job.
        run: its newest one.
        base: what is known of its first allocation.
        growth: what is known of its further ones that are not over, by name.
    """

    job: OpenJob
    run: RunRecord
    base: Observation = _NOTHING
    growth: Mapping[str, Observation] = field(default_factory=dict)

    @property
    def wait(self) -> Wait | None:
        """Why it waits in the engine's queue; None where it does not, or that is not known."""
        return self.base.waits if self.pending else None

    @property
    def pending(self) -> bool:
        """Whether the engine has it in its queue."""
        return self.base.state is AllocationState.PENDING and not self.run.state.terminal

    @property
    def begun(self) -> bool:
        """Whether it has been started, as far as anybody knows."""
        return not self.pending and (self.run.started_at is not None or self.base.state is AllocationState.RUNNING)

    @property
    def waiting_growth(self) -> list[Observation]:
        """Allocations that should make it wider."""
        return [seen for seen in self.growth.values() if seen.state is AllocationState.PENDING]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Those that it has, as far as anybody knows."""
        found = [node for seen in (self.base, *self.growth.values()) for node in seen.nodes]
        return tuple(dict.fromkeys(found))

    @property
    def placement(self) -> Placed:
        """Its workers by node: by its own word, else spread over the nodes that the engine names."""
        if self.run.placement or not self.begun or not self.nodes:
            return self.run.placement if self.begun else ()
        each, more = divmod(self.run.world_size, len(self.nodes))
        spread = ((node, each + (place < more)) for place, node in enumerate(self.nodes))
        return tuple((node, workers) for node, workers in spread if workers)


@dataclass(frozen=True)
class EngineLook:
    """What was known at one moment.

    Attributes:
        now: seconds since the epoch.
        facts: of the store.
        seen: the newest observation of each allocation.
    """

    now: float
    facts: Facts
    seen: Mapping[str, Observation]

    @cached_property
    def handed(self) -> Mapping[str, Handed]:
        """Jobs whose runs the engine has, or is about to get, by identifier; those that were launched first, first."""
        newest: dict[str, RunRecord] = {}
        for run in self.facts.active:
            if run.job not in newest or newest[run.job].number < run.number:
                newest[run.job] = run
        growth = self._growth()
        return {
            job: Handed(
                self.facts.jobs[job], run, self.seen.get(run.allocation, _NOTHING), growth.get(run.id, _no_growth())
            )
            for job, run in newest.items()
            if not run.state.terminal and job in self.facts.jobs
        }

    @cached_property
    def follows(self) -> Sequence[OpenJob]:
        """Jobs that wait here for nothing but their turn, in the order in which they are handed over."""
        return ready(self.facts, self._back_off)[0]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each of them in that order, from 1."""
        return {job.id: place for place, job in enumerate(self.follows, 1)}

    @cached_property
    def waiting(self) -> Mapping[str, OpenJob]:
        """All jobs that wait here, by identifier: those that follow, then the others by priority."""
        others = (job for job in self.facts.waiting if job.id not in self.handed and job.id not in self.places)
        found = [*self.follows, *sorted(others, key=lambda job: (-job.priority, job.sequence))]
        return {job.id: job for job in found}

    @cached_property
    def there(self) -> Sequence[Handed]:
        """Those that the engine has not started yet: the first to start by its own word first."""
        pending = [one for one in self.handed.values() if not one.begun]
        return sorted(pending, key=_expected)

    @cached_property
    def running(self) -> Sequence[Handed]:
        """Those that it has started, the oldest first."""
        begun = [one for one in self.handed.values() if one.begun]
        return sorted(begun, key=lambda one: (one.run.started_at or one.run.created_at, one.job.sequence))

    @cached_property
    def pending(self) -> int:
        """How many allocations of ours wait in the engine's queue, or are on their way to it; tasks of arrays count."""
        seen = ((run, self.seen.get(run.allocation, _NOTHING)) for run in self.facts.active)
        runs = sum(places_of(run, self.facts.jobs.get(run.job), base) for run, base in seen)
        return runs + sum(len(one.waiting_growth) for one in self.handed.values())

    def releasing(self, job: OpenJob) -> bool:
        """Whether its last run still has something of the engine, or is just over."""
        return job.state != str(JobState.QUEUED) or job.id in self.facts.holding

    def _back_off(self, job: OpenJob) -> float | None:
        return None if job.not_before is None or job.not_before <= self.now else job.not_before

    def _growth(self) -> Mapping[str, Mapping[str, Observation]]:
        """Further allocations that wait or run, of each run."""
        found: dict[str, dict[str, Observation]] = {}
        for name, seen in self.seen.items():
            run, _, number = name.rpartition(".")
            live = seen.state in {AllocationState.PENDING, AllocationState.RUNNING}
            if live and number.isdecimal() and int(number) >= allocations.FIRST:
                found.setdefault(run, {})[name] = seen
        return found


def _no_growth() -> Mapping[str, Observation]:
    return {}


def _expected(one: Handed) -> tuple[bool, float, int, int]:
    start = None if one.base.waits is None else one.base.waits.start
    return start is None, start or 0.0, -one.job.priority, one.job.sequence
