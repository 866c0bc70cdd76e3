"""The reconcile loop: one pass takes in what runs say, looks at the engine, ends, stops, recovers and starts."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.backends.protocol import AllocationState, Backend, Observation
from orchestrator.base.clock import Clock, IdSource
from orchestrator.base.errors import BackendUnavailable, Conflict, Fenced, StoreError
from orchestrator.control.accounts import Accounts, charge
from orchestrator.control.adopting import place_older_runs
from orchestrator.control.dispatcher import Dispatcher
from orchestrator.control.endings import Ending, end_run
from orchestrator.control.evidence import Signs
from orchestrator.control.growing import Growing
from orchestrator.control.handover import Handover
from orchestrator.control.ingest import ingest
from orchestrator.control.lastwords import LastWords
from orchestrator.control.learning import Learning
from orchestrator.control.lostnodes import follow_lost_nodes
from orchestrator.control.outage import Outage
from orchestrator.control.resizing import Resizes
from orchestrator.control.sight import Look, Sight
from orchestrator.control.site import Probe, Site, no_probe
from orchestrator.control.standing import Standings
from orchestrator.control.starts import Starts
from orchestrator.control.stops import Stops
from orchestrator.control.timers import Absences, Elapsed
from orchestrator.control.troubles import Troubles
from orchestrator.control.wishes import Wishes
from orchestrator.control.workloads import Workloads
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.lifecycle.reasons import duration
from orchestrator.lifecycle.states import RunState
from orchestrator.spec.profile import ClusterProfile
from orchestrator.store import events, jobs, runs
from orchestrator.store.database import Store
from orchestrator.store.records import RunRecord

_LOG = logging.getLogger(__name__)

COLLECT_SECONDS = 60.0
"""Between two full collections of garbage; each holds everything up for tens of milliseconds."""
IDLE = 5.0
"""Seconds between two passes while no run is under way; `wake` ends the wait."""
MANY = 100
"""Runs; of more than so many, those that wait in an engine's own queue are left alone until a look finds them gone."""


class Controller:
    """The only code that moves a job, beside the requests of people in `service`."""

    def __init__(
        self,
        store: Store,
        backend: Backend,
        profile: ClusterProfile,
        clock: Clock,
        ids: IdSource,
        runs_root: Path,
        probe: Probe = no_probe,
        *,
        workloads: Workloads | None = None,
    ) -> None:
        self._site = Site(store, backend, profile, clock, ids, runs_root, workloads or Workloads.standard(), probe)
        place_older_runs(self._site)
        self._signs = Signs(self._site)
        self._absences = Absences(clock, profile.watch.lost_after)
        self._last_words = LastWords(self._site)
        self._running = Elapsed(clock)
        self._starts = Starts(self._site)
        self._stops = Stops(self._site)
        self._wishes = Wishes(self._site)
        self._resizes = Resizes(self._site)
        self._troubles = Troubles(self._site)
        self._sight = Sight(self._site)
        self._growing = Growing(self._site, self._stops)
        self._standings = Standings(self._site)
        queue = Handover if backend.queues else Dispatcher
        self._queue = queue(self._site, self._starts, self._troubles)
        self._accounts = Accounts(self._site)
        self._outage = Outage(self._site)
        self._learning = Learning(self._site)
        self._woken = threading.Event()
        self._stopping = threading.Event()

    def held_by_others(self) -> Mapping[str, int] | None:
        """Slots of each node that it believes others hold; None: it has not looked yet. Any thread may ask."""
        return self._queue.others.now() if isinstance(self._queue, Dispatcher) else {}

    def seen(self) -> Mapping[str, Observation]:
        """The newest observation of each allocation that is not over. Any thread may ask."""
        return self._sight.seen()

    def silence(self) -> str:
        """Since when the engine does not answer; empty where it does. Any thread may ask."""
        return self._outage.told

    def step(self) -> float:
        """One pass.

        Returns:
            Seconds until the next one is due.

        Raises:
            Fenced: another server has taken the store over.
            StoreError: the store cannot be written.
        """
        self._accounts.follow_clock()
        found = self._active()
        many = len(found) > MANY
        active = [run if many and self._sight.waited_there(run) else self._ingest(run) for run in found]
        known = {run.id for run in active}
        self._running.forget(known)
        self._signs.forget(known)
        self._last_words.forget(known)
        try:
            look = self._sight.look(active)
            with self._stops.together():
                for run in active:
                    self._guarded(run, look)
                self._growing.tend(active, look, self._spare(active, look))
            self._standings.keep(look)
            self._accounts.keep()
            due = self._queue.serve(look.capacity)
            self._outage.over()  # all was answered: a look alone may be one of before
            self._learning.follow()  # after the starts, which shall not wait for it
        except BackendUnavailable as error:
            self._absences.unknown()
            self._growing.unknown()
            if not self._stopping.is_set():  # else it is we who do not ask
                self._outage.begin(error)
            return self._site.profile.watch.poll
        waits = many and all(map(look.waits_there, active))
        if self._stops.more:
            due = 0.0
        longest = IDLE if waits or not self._holds_anything() else self._site.profile.watch.poll
        return longest if due is None else min(longest, max(due, 0.01))

    def wake(self) -> None:
        """There is something to do: `run` makes its next pass at once."""
        self._woken.set()

    def run(self, stopping: threading.Event) -> None:
        """Pass after pass until `stopping` is set and `wake` called.

        Raises:
            Fenced: another server has taken the store over.
        """
        self._stopping, collected = stopping, self._site.clock.monotonic()
        while not stopping.is_set():
            self._woken.clear()
            try:
                delay = self.step()
            except Fenced:
                raise
            except Exception:  # trouble with one job is met where it arises; the next pass may succeed
                _LOG.exception("a pass of the reconcile loop failed")
                delay = self._site.profile.watch.poll * 4
            if (now := self._site.clock.monotonic()) - collected >= COLLECT_SECONDS:
                gc.collect()  # between two passes, so that it falls into no decision
                collected = now
            self._woken.wait(delay)

    def _active(self) -> list[RunRecord]:
        with self._site.store.read() as connection:
            found = runs.look(connection)
        for job, error in found.damaged.items():
            self._troubles.met(job, error)
        return found.runs

    def _holds_anything(self) -> bool:
        with self._site.store.read() as connection:
            return runs.any_unreleased(connection)

    def _spare(self, active: Sequence[RunRecord], look: Look) -> int:
        return self._queue.spare(active, look) if isinstance(self._queue, Handover) else 0

    def _ingest(self, run: RunRecord) -> RunRecord:
        try:
            return self._take_in(run)
        except (Fenced, StoreError):
            raise
        except Exception as error:  # what a run writes is foreign
            _LOG.warning("%s: its events cannot be read: %s: %s", run.id, type(error).__name__, error)
            return self._again(run)

    def _take_in(self, run: RunRecord) -> RunRecord:
        found = ingest(self._site, run)
        self._learning.seen(run, found)
        return found

    def _last_word(self, run: RunRecord) -> RunRecord:
        """What came between the reading of its events and the look at the engine: perhaps how it ended.

        Raises:
            Exception: that cannot be read. Nothing is known of its end then, unless somebody asked it to stop.
        """
        return self._take_in(run) if run.stop_cause is None else self._ingest(run)

    def _guarded(self, run: RunRecord, look: Look) -> None:
        """One run's trouble is not the others'."""
        try:
            if look.waits_there(run):
                self._present(run, look.of(run))
            else:
                self._judge(self._again(run), look)
            if (error := self._stops.unheard(run.allocation)) is not None:
                self._troubles.met(run.job, error)
            elif not (look.queues and run.state is RunState.CREATED):  # of these the handover knows how they are
                self._troubles.over(run.job)
        except (BackendUnavailable, Fenced, StoreError):
            raise
        except Conflict as conflict:
            _LOG.info("%s: %s", run.id, conflict.message)
        except Exception as problem:
            self._troubles.met(run.job, problem)

    def _judge(self, run: RunRecord, look: Look) -> None:
        seen = look.of(run)
        self._present(run, seen)
        if run.state.terminal:
            self._let_go(run, look)
        elif seen.state is AllocationState.ENDED:
            self._ended(run, look)
        elif run.stop_cause is not None:
            self._stops.press(run, seen)
        elif seen.state is AllocationState.ABSENT:
            self._absent(run)
        elif run.state is RunState.CREATED:
            if seen.state is not AllocationState.UNKNOWN:
                self._starts.launched(run)
        else:
            run = follow_lost_nodes(self._site, run, look.capacity)
            self._wishes.tell(run)
            self._resizes.watch(run, look.capacity)
            self._limit_time(run)

    def _present(self, run: RunRecord, seen: Observation) -> None:
        if seen.state is not AllocationState.ABSENT:
            self._absences.present(run.allocation)
            if seen.state not in {AllocationState.ENDED, AllocationState.UNKNOWN}:
                self._signs.seen(run.id)

    def _ended(self, run: RunRecord, look: Look) -> None:
        run, seen = self._last_word(run), look.of(run)
        if not run.state.terminal:
            if self._last_words.may_come(run, look):
                return
            time = self._signs.end_of(run)
            self._end(run, Ending.without_marker(seen.failure_class, seen.detail, run.stop_cause, time))
        self._let_go(self._again(run), look)

    def _absent(self, run: RunRecord) -> None:
        if run.state is RunState.CREATED:
            self._again_asked(run)
        elif self._absences.absent(run.allocation) and not (run := self._last_word(run)).state.terminal:
            seconds = self._site.profile.watch.lost_after
            message = f"absent from the engine for {duration(seconds)}"
            self._end(run, Ending("lost", message, FailureClass.INFRASTRUCTURE, self._signs.end_of(run)))

    def _again_asked(self, run: RunRecord) -> None:
        """It was written down, and the engine does not know it."""
        if isinstance(self._queue, Handover):
            self._queue.again(run)
        else:
            self._starts.resume(run)

    def _end(self, run: RunRecord, ending: Ending) -> None:
        with self._site.commit("end") as connection:
            end_run(connection, self._site, run, ending)

    def _let_go(self, run: RunRecord, look: Look) -> None:
        """A run that is over; its slots are free once the engine says so."""
        state = look.at(run.allocation).state
        if state in {AllocationState.PENDING, AllocationState.RUNNING}:
            self._stops.overstay(run.allocation)
        if state not in {AllocationState.ENDED, AllocationState.ABSENT} or look.growth.get(run.id):
            return
        with self._site.commit("released") as connection:
            runs.change(connection, charge(connection, self._site, run), released=True)
        self._stops.forget(run.allocation)
        self._wishes.forget(run.id)
        self._absences.present(run.allocation)

    def _limit_time(self, run: RunRecord) -> None:
        if run.time_limit is None or run.started_at is None:
            return
        if self._running.since(run.id, run.started_at) > run.time_limit:
            message = f"runs longer than its time limit of {duration(run.time_limit)}; asked to stop"
            with self._site.commit("time limit") as connection:
                runs.change(connection, run, stop_cause="time_limit")
                jobs.set_columns(connection, jobs.get(connection, run.job), reason=message)
                events.append(connection, run.job, "stopping", message, time=self._site.clock.now(), run=run.id)

    def _again(self, run: RunRecord) -> RunRecord:
        with self._site.store.read() as connection:
            return runs.get(connection, run.id) or run
