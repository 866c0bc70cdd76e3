"""An elastic run's agent: starts and ends workers as its coordinator says, and speaks for the run while it coordinates.

It holds a place among the agents of the run (`membership`); which of them coordinates is settled there. What this one
adds: the processes, the slots of the machine, the wishes of controller and engine, and the events for the controller.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, replace

from orchestrator.base.process import ProcessIdentity
from orchestrator.base.sweep import sweep
from orchestrator.base.text import counted
from orchestrator.rundir.allocations import MARK, PARTED, TAKEN, AllocationFiles, run_has_finished
from orchestrator.rundir.events import find_event
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.rundir.membership import View, newest_view
from orchestrator.runtime.crew import Crew
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.keeping import Keeping
from orchestrator.runtime.logs import say
from orchestrator.runtime.markers import read_marker
from orchestrator.runtime.membership.events import (
    AgentLeaves,
    AgentRoom,
    EndRun,
    EndWorker,
    Instruction,
    Policy,
    Publish,
    StandDown,
    StartWorker,
    Stopping,
    StopWorkers,
    Wanted,
    WorkerGone,
    agent_of,
)
from orchestrator.runtime.membership.seat import Seat
from orchestrator.runtime.nodes import NodeNames, named
from orchestrator.runtime.outcome import Outcome
from orchestrator.runtime.places import Places
from orchestrator.runtime.signals import SignalInbox
from orchestrator.runtime.wishes import Ending, Wishes

_TICK = 0.1
_END_GRACE = 5.0
_LAST_WORD_SECONDS = 30.0
_FIT_SECONDS = 1.0
_LOOK_SECONDS = 0.5

_LEAVING, _STOPPING, _ENDING = 1, 2, 3
"""How pressing a reason to end is: this allocation leaves; the run stops; the run has lost its right to go on."""


@dataclass(frozen=True)
class _End:
    """How it ended: the run, of which this agent speaks the last word, or only this agent's part in it."""

    outcome: Outcome
    of_run: bool
    written_by_other: bool = False
    """The coordinator has said so, and is about to write it down."""


class ElasticAgent:
    """The agent's work where workers come and go.

    Args:
        files: the allocation.
        launch: what its workers execute.
        grant: what it may use.
        guard: process id of the guard, this process's parent.
        keeping: makes the guard hold what is taken later.
    """

    def __init__(self, files: AllocationFiles, launch: Launch, grant: Grant, guard: int, keeping: Keeping) -> None:
        self._files = files
        self._launch = launch
        self._grant = grant
        self._nodes = NodeNames(files.run, grant)
        self._inbox = SignalInbox([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD])
        self._wishes = Wishes(files, launch, guard, grant)
        self._events = DurableEvents(files.run, files.writer, launch.token)
        self._places = Places(grant, launch, keeping)
        self._crew = Crew(files, launch, self._places, grant)
        self._wanted = self._wishes.workers() or launch.workers
        self._placement = self._wishes.placement()
        self._fit_at = 0.0
        self._looked_at = 0.0
        self._ending: Ending | None = None
        self._kill_at: float | None = None
        self._urgency = 0
        self._end: _End | None = None
        self._coordinated = False
        self._view: View | None = None
        self._seat = Seat(
            files.run,
            files.index,
            room=self._places.room,
            policy=_policy(launch, self._wanted, grant),
            host=grant.host,
            wake=self._inbox.fileno(),
            node=grant.node if grant.placed else "",
        )
        self._seat.tell(Wanted(self._wanted, self._placement))

    def run(self) -> Outcome:
        """Take part to the end; the run's `finished` event, or this agent's own, is written when this returns."""
        identity = ProcessIdentity.current().to_json()
        about = {"host": os.uname().nodename, "allocation": self._files.allocation} | named(self._grant)
        self._events.write("agent_started", **identity, **about)
        try:
            end = self._work()
        except Exception as error:
            say(f"the agent failed: {error!r}")
            end = self._own_end(Outcome("failed", f"the agent failed: {error}", failure_class="infrastructure"))
        self._leave_nothing()
        speaks = end.of_run and end.outcome.cause != TAKEN
        self._events.write("finished" if speaks else "agent_finished", **end.outcome.to_data())
        self._seat.close()
        return end.outcome

    def _work(self) -> _End:
        wish = self._wishes.stop(set())
        if wish is not None:
            outcome = Outcome("stopped", "stopped before anything was started", cause=wish.cause)
            return _End(outcome, of_run=self._files.index == 0 and not self._others())
        while (end := self._reached_end()) is None:
            for instruction in self._seat.turn(_TICK):
                self._follow(instruction)
            self._notice(self._inbox.wait(0))
            self._look_at_processes()
            self._fit()
            self._events.catch_up()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._crew.kill()
        return end

    def _follow(self, instruction: Instruction) -> None:
        match instruction:
            case StartWorker(number):
                goes = self._ending is not None or self._end is not None
                self._seat.tell(WorkerGone(number, "its agent is ending") if goes else self._crew.start(number))
            case EndWorker(number, why):
                self._crew.end(number, why)
            case Publish(view):
                self._announce(view)
            case StopWorkers(cause, grace):
                self._end_workers(Ending("stop", grace, cause=cause, message="too few would stay", whole=True))
            case EndRun():
                speaks = self._seat.coordinates
                self._conclude(_End(self._outcome(instruction), of_run=speaks, written_by_other=not speaks))
            case StandDown(message):
                self._conclude(_End(Outcome("failed", message, "infrastructure", cause=PARTED), of_run=False))
            case _:
                say(f"not done now: {instruction}")

    def _announce(self, view: View) -> None:
        """Tell the controller of a view; of the first one that the run has started."""
        say(f"view {view.epoch} ({view.cause}): workers {', '.join(map(str, view.numbers))}")
        if not self._run_has_started():
            self._events.note("started", world_size=len(view.members))
        members = [{"number": member.number, "pid": member.pid, "host": member.host} for member in view.members]
        nodes = self._nodes.spread(agent_of(number) for number in view.numbers)
        self._events.note(
            "resized", world_size=len(members), epoch=view.epoch, cause=view.cause, members=members, **nodes
        )

    def _notice(self, signals: set[signal.Signals]) -> None:
        """Look at what ended, and at all that can end what runs."""
        for word in self._crew.reap():
            self._seat.tell(word)
            self._fit_at = 0.0
            if isinstance(word, WorkerGone) and self._ending is None and self._end is None:
                self._events.note("worker_lost", number=word.number, message=word.why, failure_class=word.failure_class)
        wish = self._wishes.look(signals)
        if wish is not None:
            self._end_workers(wish)
        if self._seat.coordinates and not self._coordinated:
            self._coordinated = True
            if self._end is None and self._run_has_finished():  # its writer is gone, and so is the run
                self._conclude(_End(Outcome("stopped", "the run has finished"), of_run=False))

    def _look_at_processes(self) -> None:
        """Once in a while say which workers compute: such a one is not dead, however silent it is."""
        if time.monotonic() >= self._looked_at + _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            for word in self._crew.computing():
                self._seat.tell(word)

    def _end_workers(self, ending: Ending) -> None:
        """Act on a reason to end that is more pressing than the one before; the time left only gets shorter."""
        whole = ending.whole or (self._newest_view() is not None and not self._others())
        urgency = _ENDING if ending.kind != "stop" else _STOPPING if whole else _LEAVING
        kill_at = time.monotonic() + ending.grace_seconds
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
        if urgency <= self._urgency:
            return
        self._urgency, self._ending = urgency, ending
        say(f"ending the workers within {ending.grace_seconds:g} s: {ending.kind} {ending.cause} {ending.message}")
        if whole:  # what one worker is told, all of them do
            self._seat.tell(Stopping())
            self._crew.ask_to_stop()
        elif ending.kind != "stop":  # what is here dies now, and the others go on
            self._seat.tell(AgentRoom(self._files.index, 0))
        else:  # whether enough others stay, or all must stop, the coordinator knows
            self._seat.tell(AgentLeaves(self._files.index, ending.cause, float(ending.grace_seconds)))
            if self._seat.coordinates:
                for instruction in self._seat.turn(0):
                    self._follow(instruction)

    def _conclude(self, end: _End) -> None:
        """It is over; workers that are left have a moment to end by themselves."""
        if self._end is None:
            self._end = end
            kill_at = time.monotonic() + _END_GRACE
            self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
            if end.outcome.outcome == "failed":
                self._crew.ask_to_stop()

    def _reached_end(self) -> _End | None:
        """How it has ended, once no worker of this agent is left and nobody else has still to speak."""
        if self._crew.living:
            return None
        ending = self._ending
        if self._end is not None and self._end.written_by_other:
            return self._last_word(self._end)
        if self._end is not None or ending is None:
            return self._end
        if ending.kind != "stop":
            return self._own_end(Outcome("failed", ending.message, failure_class="infrastructure"))
        stopped = _stopped(ending, f"stopped: {ending.cause}")
        if self._urgency == _LEAVING:
            return _End(stopped, of_run=False)
        if self._kill_at is not None and time.monotonic() > self._kill_at + _END_GRACE:  # the coordinator is silent
            return self._own_end(stopped)
        return None

    def _last_word(self, end: _End) -> _End | None:
        """What another agent was about to write: once it has, or is lost and this one takes its place."""
        if end.outcome.cause == TAKEN:
            return end
        if self._seat.coordinates and not self._run_has_finished():
            return replace(end, of_run=True)
        late = self._kill_at is not None and time.monotonic() > self._kill_at + _LAST_WORD_SECONDS
        return end if late or self._run_has_finished() else None

    def _own_end(self, outcome: Outcome) -> _End:
        """An end that no coordinator has said: of the run only where nobody else carries it on."""
        return _End(outcome, of_run=self._seat.coordinates and not self._others())

    def _outcome(self, end: EndRun) -> Outcome:
        """The end that the coordinator has said, in the words of the workers, who know more of it."""
        if end.outcome == "failed":
            return Outcome(end.outcome, end.message, end.failure_class)
        view = self._newest_view()
        message = end.message
        with contextlib.suppress(OSError):
            markers = [read_marker(self._files.run, number) for number in (view.numbers if view else ())]
            message = next((m.message for m in markers if m and m.outcome == end.outcome and m.message), message)
        if end.outcome == "succeeded":
            return Outcome(end.outcome, message, exit_code=0)
        return _stopped(self._ending or Ending("stop", 0.0, cause="drain"), message)

    def _others(self) -> int:
        """How many workers of other agents take part."""
        view = self._newest_view()
        return sum(agent_of(number) != self._files.index for number in view.numbers) if view else 0

    def _newest_view(self) -> View | None:
        with contextlib.suppress(OSError):  # a disk that is away for a moment ends no run
            self._view = newest_view(self._files.run)
        return self._view

    def _run_has_started(self) -> bool:
        with contextlib.suppress(OSError):
            return find_event(self._files.run, "started") is not None
        return False

    def _run_has_finished(self) -> bool:
        with contextlib.suppress(OSError):
            return run_has_finished(self._files.run)
        return False

    def _fit(self) -> None:
        """Hold as many places as the controller wants workers, as far as the machine has them."""
        if self._ending is not None or self._end is not None:
            return
        wish = self._wishes.workers() or self._wanted
        wanted = min(max(wish, self._launch.min_workers), self._launch.max_workers)
        is_new = (wanted, placement := self._wishes.placement()) != (self._wanted, self._placement)
        if not is_new and time.monotonic() < self._fit_at:
            return
        self._fit_at = time.monotonic() + _FIT_SECONDS
        if self._seat.coordinates and self._places.fit(wanted):
            self._seat.tell(AgentRoom(self._files.index, self._places.room))
        if is_new:
            say(f"the controller wants {counted(wanted, 'worker')}; there is room here for {self._places.room}")
            self._wanted, self._placement = wanted, placement
            self._seat.tell(Wanted(wanted, placement))

    def _leave_nothing(self) -> None:
        """End whatever the workers have left behind, daemons among it."""
        self._crew.kill()
        for survivor in sweep([os.getpid()], (MARK, self._files.allocation)):
            say(f"process {survivor.pid} does not die")
        self._crew.collect(1.0)


def _policy(launch: Launch, wanted: int, grant: Grant) -> Policy:
    """The rules; more than was launched may only come with other allocations, for which nobody waits to begin."""
    growth = launch.min_workers if grant.grows else None
    return Policy(
        wanted=wanted,
        first=min(wanted, launch.workers) if grant.node else None,
        minimum=launch.min_workers,
        maximum=launch.max_workers,
        lost_after=launch.lost_after,
        hang_after=launch.hang_after,
        replacements=launch.replacements,
        joined_above=growth if grant.node else 0,
    )


def _stopped(ending: Ending, message: str) -> Outcome:
    failure = "time_limit" if ending.cause == "time_limit" else None
    return Outcome("stopped", message, failure_class=failure, cause=ending.cause)
