"""A gang of fixed size: starts its ranks, watches them, ends them, and writes how the run ended."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Sequence

from orchestrator.base.process import ProcessIdentity
from orchestrator.base.sweep import sweep
from orchestrator.rundir.allocations import MARK, AllocationFiles
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.environment import inherited, process_count, rank_environment
from orchestrator.runtime.logs import say
from orchestrator.runtime.outcome import Outcome, RankEnd, judge_failure, judge_stop, judge_success
from orchestrator.runtime.ranks import Ranks, RankStart
from orchestrator.runtime.rendezvous import free_port
from orchestrator.runtime.signals import SignalInbox
from orchestrator.runtime.wishes import Ending, Wishes

_TICK = 0.1
_FAILURE_GRACE = 5.0


class Supervisor:
    """The agent's work where the run has ranks that start and end together.

    Args:
        files: the allocation.
        launch: what to start.
        grant: what it may use.
        guard: process id of the guard, this process's parent.
    """

    def __init__(self, files: AllocationFiles, launch: Launch, grant: Grant, guard: int) -> None:
        self._files = files
        self._launch = launch
        self._grant = grant
        self._inbox = SignalInbox([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD])
        self._wishes = Wishes(files, launch, guard, grant.time_limit)
        self._events = DurableEvents(files.run, files.writer, launch.token)
        self._ranks = Ranks(files.run)
        self._ending: Ending | None = None
        self._kill_at: float | None = None
        self._suspects: Sequence[RankEnd] = ()

    def run(self) -> Outcome:
        """Start, watch, end; the run's `finished` event is written when this returns."""
        identity = ProcessIdentity.current().to_json()
        self._events.write("agent_started", **identity, host=os.uname().nodename, allocation=self._files.allocation)
        try:
            outcome = self._supervise()
        except Exception as error:
            self._ranks.kill()
            say(f"the agent failed: {error!r}")
            outcome = Outcome("failed", f"the agent failed: {error}", failure_class="infrastructure")
        self._leave_nothing()
        self._events.write("finished", **outcome.to_data())
        return outcome

    def _supervise(self) -> Outcome:
        wish = self._wishes.stop(set())
        if wish is None and self._files.stop_request() is not None:
            wish = Ending("stop", 0.0, cause="drain")
        if wish is not None:
            return Outcome("stopped", "stopped before anything was started", cause=wish.cause)
        if (refusal := self._start()) is not None:
            return refusal
        say(f"{process_count(self._launch)} ranks run")
        self._events.note("started", world_size=self._launch.workers)
        while not self._over():
            self._events.catch_up()
            signals = self._inbox.wait(_TICK)
            self._notice(self._ranks.reap(), signals)
            self._escalate()
        return self._judge()

    def _start(self) -> Outcome | None:
        """Start every rank; how the run ended where one cannot be started."""
        base, port = inherited(os.environ), free_port()
        for rank in range(process_count(self._launch)):
            added = rank_environment(self._files, self._launch, rank, port=port, devices=self._grant.devices)
            try:
                self._ranks.start(rank, RankStart(self._launch.argv, self._launch.workdir, base | added))
            except (OSError, ValueError) as error:
                self._ranks.kill()
                return Outcome("failed", self._cannot_start(rank, error), failure_class=class_of(error))
        return None

    def _cannot_start(self, rank: int, error: Exception) -> str:
        if not os.path.isdir(self._launch.workdir):
            return f"rank {rank} cannot be started: the working directory {self._launch.workdir!r} does not exist"
        return f"rank {rank} cannot be started: {self._launch.argv[0]!r}: {error}"

    def _over(self) -> bool:
        """All ranks have ended; where they were told to, their children too, who may still be writing."""
        return self._ranks.all_ended() and (self._ending is None or not self._ranks.groups_alive())

    def _notice(self, ended: list[RankEnd], signals: set[signal.Signals]) -> None:
        wish = self._wishes.look(signals)
        if wish is not None:
            self._end(wish)
        failed = [end for end in ended if not end.succeeded]
        if failed and self._ending is None:
            self._suspects = failed
            self._end(Ending("failure", _FAILURE_GRACE, message="a rank failed"))

    def _end(self, ending: Ending) -> None:
        """Tell the ranks, once; a later reason can only shorten the time they have."""
        kill_at = time.monotonic() + ending.grace_seconds
        if self._ending is None:
            self._ending = ending
            say(f"ending the ranks within {ending.grace_seconds:g} s: {ending.kind} {ending.cause} {ending.message}")
            self._ranks.ask_to_stop()
        elif ending.kind in {"fenced", "guard_lost"}:
            self._ending = ending
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)

    def _escalate(self) -> None:
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._ranks.kill()

    def _judge(self) -> Outcome:
        ending = self._ending
        if ending is None:
            return judge_success(self._ranks.ends)
        if ending.kind == "stop":
            return judge_stop(self._ranks.ends, ending.cause)
        if ending.kind == "failure":
            return judge_failure(self._suspects)
        return Outcome("failed", ending.message, failure_class="infrastructure")

    def _leave_nothing(self) -> None:
        """End whatever the ranks have left behind, daemons among it."""
        for survivor in sweep([os.getpid()], (MARK, self._files.allocation)):
            say(f"process {survivor.pid} does not die")
        self._ranks.collect_all(1.0)


def class_of(error: OSError | ValueError) -> str:
    """No retry finds a program that is not there; a machine that is short of something may have it later."""
    lasting = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.E2BIG, errno.ENAMETOOLONG}
    return "infrastructure" if isinstance(error, OSError) and error.errno not in lasting else "permanent"
