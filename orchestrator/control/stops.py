"""Runs that are asked to stop: first through control.json and the engine, after the grace time by force."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from orchestrator.backends.protocol import AllocationState, Backend, Observation
from orchestrator.base.errors import BackendUnavailable, Busy
from orchestrator.base.text import one_line
from orchestrator.control.accounts import charge
from orchestrator.control.endings import Ending, end_run
from orchestrator.control.places import trimmed
from orchestrator.control.pool import all_at_once
from orchestrator.control.resting import Rest
from orchestrator.control.site import Site
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.lifecycle.states import RunState
from orchestrator.rundir.control import Control, StopCause, read_control, write_control
from orchestrator.store import runs
from orchestrator.store.records import Placed, RunRecord

_LOG = logging.getLogger(__name__)

AGAIN = 5.0
"""Seconds between two kills of what does not end, and without an order after one that was not answered."""
_A_PASS = 32
"""So many allocations get their first order in one pass, and so many another one: each costs the engine a call."""


@dataclass(frozen=True)
class _Stop:
    asked_at: float
    killed_at: float | None = None
    of_run: bool = False  # otherwise this allocation alone was asked to leave


@dataclass(frozen=True)
class _Unheard:
    error: Exception
    rest: Rest


@dataclass(frozen=True)
class _Order:
    name: str
    allocation: str
    call: Callable[[Backend], None]
    taken: _Stop  # what has been done about the allocation once the engine has taken it


class Stops:
    """What this controller has done so far to end runs; a new controller asks again, which harms nothing."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._begun: dict[str, _Stop] = {}
        self._unheard: dict[str, _Unheard] = {}
        self._orders = list[_Order]()
        self._more = False
        self._silent_until = 0.0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around a pass: what it orders is given to the engine at its end, a few at a time."""
        self._orders, self._more = [], False
        yield
        self._give()

    @property
    def more(self) -> bool:
        """Whether there was more to order in the newest pass than one pass gives."""
        return self._more

    def press(self, run: RunRecord, seen: Observation) -> None:
        """One more look at a run that has a stop cause and is not over."""
        if seen.state is AllocationState.ENDED:
            return
        if seen.state is AllocationState.ABSENT:
            self._called_off(run)
        elif (stop := self._begun.get(run.allocation)) is None or not stop.of_run:
            self._ask(run)
        elif self._site.clock.monotonic() - stop.asked_at > self._site.profile.watch.cancel_grace:
            self._kill(run.allocation, stop)

    def overstay(self, allocation: str) -> None:
        """One that was told to end, or whose run is over, has the grace time to let its slots go."""
        stop = self._begun.setdefault(allocation, _Stop(self._site.clock.monotonic()))
        if self._site.clock.monotonic() - stop.asked_at > self._site.profile.watch.cancel_grace:
            self._kill(allocation, stop)

    def release(self, allocation: str) -> None:
        """An allocation is not wanted any more, and its run goes on without it: it is asked to leave, then ended."""
        if allocation in self._begun:
            self.overstay(allocation)
        else:
            grace, asked = self._site.profile.watch.cancel_grace, _Stop(self._site.clock.monotonic())
            self._order("stop", allocation, lambda backend: backend.stop(allocation, grace_seconds=grace), asked)

    def called_off(self, allocation: str) -> bool:
        """The engine does not know it, and nobody wants it: killed all the same, for a launch may be on its way.

        Returns:
            Whether that was done before, so that it is over.
        """
        stop = self._begun.get(allocation, _Stop(self._site.clock.monotonic()))
        if stop.killed_at is not None:
            return True
        self._kill(allocation, stop)
        return False

    def forget(self, allocation: str) -> None:
        """It is gone."""
        self._begun.pop(allocation, None)
        self._unheard.pop(allocation, None)

    def unheard(self, allocation: str) -> Exception | None:
        """Why the engine has not taken the newest order about an allocation; None: it has, or there is none."""
        found = self._unheard.get(allocation)
        return None if found is None else found.error

    def _ask(self, run: RunRecord) -> None:
        if self._is_full(run.allocation):
            return
        grace = self._site.profile.watch.cancel_grace
        directory = self._site.run_directory(run)
        directory.create()
        wish = read_control(directory) or first_wish(self._site, run)
        if wish.want != "stop":
            cause = cast(StopCause, run.stop_cause)
            write_control(directory, wish.next(want="stop", cause=cause, grace_seconds=grace))
        asked = _Stop(self._site.clock.monotonic(), of_run=True)
        self._order("stop", run.allocation, lambda backend: backend.stop(run.allocation, grace_seconds=grace), asked)

    def _kill(self, allocation: str, stop: _Stop) -> None:
        now = self._site.clock.monotonic()
        if stop.killed_at is not None and now - stop.killed_at < AGAIN:
            return
        self._order("kill", allocation, lambda backend: backend.kill(allocation), replace(stop, killed_at=now))

    def _is_full(self, allocation: str) -> bool:
        """Whether this pass gives as many orders of its kind as it may."""
        again = allocation in self._begun
        full = sum((one.allocation in self._begun) == again for one in self._orders) >= _A_PASS
        self._more |= full
        return full

    def _order(self, name: str, allocation: str, call: Callable[[Backend], None], taken: _Stop) -> None:
        """Give it at the end of the pass, one for each allocation.

        After one that it did not answer the engine is given none for a moment, and this one later.
        """
        unheard = self._unheard.get(allocation)
        if self._site.clock.monotonic() < self._silent_until or (unheard is not None and unheard.rest.left):
            return
        if not self._is_full(allocation) and all(one.allocation != allocation for one in self._orders):
            self._orders.append(_Order(name, allocation, call, taken))

    def _give(self) -> None:
        """The first alone, for the engine may be silent; then the others, at once where it has a queue of its own."""
        left, wide, silent = self._orders, 1, False
        while left and not silent:
            some, left = left[:wide], left[wide:]
            begun = set[str]()
            results = [*zip(some, all_at_once([partial(self._call, one, begun) for one in some]), strict=True)]
            for one, error in results:
                if one.allocation in begun:
                    self._given(one, error)
            silent = any(_silent(error) for _, error in results)
            wide = len(left) if self._site.backend.queues else 1

    def _call(self, order: _Order, begun: set[str]) -> None:
        begun.add(order.allocation)
        with self._site.engine(order.name) as backend:
            order.call(backend)

    def _given(self, order: _Order, error: Exception | None) -> None:
        clock, name = self._site.clock, order.allocation
        if error is None:
            self._begun[name] = order.taken
            self._unheard.pop(name, None)
            return
        rest = self._unheard[name].rest if name in self._unheard else Rest(clock)
        self._unheard[name] = _Unheard(error, rest)
        if _silent(error):
            self._silent_until = clock.monotonic() + AGAIN
        _LOG.warning("%s: no %s for %g s: %s", name, order.name, rest.begin(), one_line(str(error), 300))

    def _called_off(self, run: RunRecord) -> None:
        """The engine does not know it, also after it was killed: it is over."""
        if not self.called_off(run.allocation):
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


def _silent(error: Exception | None) -> bool:
    return isinstance(error, BackendUnavailable) and not isinstance(error, Busy)


def first_wish(site: Site, run: RunRecord) -> Control:
    """What the controller wants of a run that begins."""
    grace = site.profile.watch.cancel_grace
    return Control(1, run.token, "run", run.wanted, grace_seconds=grace, placement=wanted_place(site, run))


def wanted_place(site: Site, run: RunRecord) -> Placed | None:
    """Where its workers should lie; None: where the engine puts them."""
    if site.backend.queues:
        return None
    return trimmed(run.becomes or run.placement, run.wanted) or None
