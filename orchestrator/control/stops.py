"""Runs that are asked to stop: first through control.json and the engine, after the grace time by force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.control.accounts import charge
from orchestrator.control.endings import Ending, end_run
from orchestrator.control.places import trimmed
from orchestrator.control.site import Site
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.lifecycle.states import RunState
from orchestrator.rundir.control import Control, StopCause, read_control, write_control
from orchestrator.store import runs
from orchestrator.store.records import RunRecord

AGAIN = 5.0
"""Seconds between two kills of what does not end."""


@dataclass(frozen=True)
class _Stop:
    asked_at: float
    killed_at: float | None = None


class Stops:
    """What this controller has done so far to end runs; a new controller asks again, which harms nothing."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._begun: dict[str, _Stop] = {}

    def press(self, run: RunRecord, seen: Observation) -> None:
        """One more look at a run that has a stop cause and is not over."""
        if seen.state is AllocationState.ENDED:
            return
        if seen.state is AllocationState.ABSENT:
            self._called_off(run)
        elif (stop := self._begun.get(run.allocation)) is None:
            self._ask(run)
        elif self._site.clock.monotonic() - stop.asked_at > self._site.profile.watch.cancel_grace:
            self._kill(run, stop)

    def overstay(self, run: RunRecord) -> None:
        """A run that is over and still holds its slots: it has the grace time to let go."""
        stop = self._begun.setdefault(run.allocation, _Stop(self._site.clock.monotonic()))
        if self._site.clock.monotonic() - stop.asked_at > self._site.profile.watch.cancel_grace:
            self._kill(run, stop)

    def forget(self, allocation: str) -> None:
        """It is gone."""
        self._begun.pop(allocation, None)

    def _ask(self, run: RunRecord) -> None:
        grace = self._site.profile.watch.cancel_grace
        directory = self._site.run_directory(run)
        directory.create()
        wish = read_control(directory) or first_wish(run, grace)
        if wish.want != "stop":
            cause = cast(StopCause, run.stop_cause)
            write_control(directory, wish.next(want="stop", cause=cause, grace_seconds=grace))
        with self._site.engine("stop") as backend:
            backend.stop(run.allocation, grace_seconds=grace)
        self._begun[run.allocation] = _Stop(self._site.clock.monotonic())

    def _kill(self, run: RunRecord, stop: _Stop) -> None:
        now = self._site.clock.monotonic()
        if stop.killed_at is not None and now - stop.killed_at < AGAIN:
            return
        with self._site.engine("kill") as backend:
            backend.kill(run.allocation)
        self._begun[run.allocation] = replace(stop, killed_at=now)

    def _called_off(self, run: RunRecord) -> None:
        """The engine does not know it: killed all the same, for a launch may be on its way; then it is over."""
        stop = self._begun.get(run.allocation, _Stop(self._site.clock.monotonic()))
        if stop.killed_at is None:
            self._kill(run, stop)
            return
        never = run.state is RunState.CREATED
        message = f"stopped ({run.stop_cause}) " + ("before it began" if never else "and gone from its engine")
        failure = FailureClass.TIME_LIMIT if run.stop_cause == "time_limit" else FailureClass.PREEMPTED
        with self._site.commit("called off") as connection:
            end_run(connection, self._site, run, Ending("stopped", message, failure))
            # What the next look would find, too.
            ended = runs.get(connection, run.id)
            assert ended is not None
            runs.change(connection, charge(connection, self._site, ended), released=True)
        self.forget(run.allocation)


def first_wish(run: RunRecord, grace: float) -> Control:
    """What the controller wants of a run that begins."""
    size, placement = run.wanted, trimmed(run.becomes or run.placement, run.wanted) or None
    return Control(1, run.token, "run", size, grace_seconds=grace, placement=placement)
