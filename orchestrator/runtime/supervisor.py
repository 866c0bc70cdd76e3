"""A gang of fixed size: starts its ranks, watches them, ends them, and writes how the run ended."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Sequence

from orchestrator.base.process import ProcessIdentity
from orchestrator.base.sweep import sweep
from orchestrator.rundir.allocations import MARK, TAKEN, AllocationFiles
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.runtime.array import concerns_all, judge_array
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.environment import inherited, process_count, rank_environment, rank_of, stop_signal
from orchestrator.runtime.gang.place import Alone, GangInstruction, GangPlace, place_in_gang
from orchestrator.runtime.logs import say
from orchestrator.runtime.membership.events import AgentLeaves, EndRun, PartEnded, StartPart, StopWorkers
from orchestrator.runtime.nodes import NodeNames, named
from orchestrator.runtime.outcome import Outcome, RankEnd, blamed, judge_failure, judge_stop, judge_success
from orchestrator.runtime.ranks import Ranks, RankStart
from orchestrator.runtime.signals import SignalInbox
from orchestrator.runtime.wishes import Ending, Wishes

_TICK = 0.1
_FAILURE_GRACE = 5.0
_SAME_SIGNAL_SECONDS = 1.0


class Supervisor:
    """The agent's work where the run has ranks that start and end together, on one node or several.

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
        self._nodes = NodeNames(files.run, grant)
        self._inbox = SignalInbox([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD])
        self._wishes = Wishes(files, launch, guard, grant)
        self._events = DurableEvents(files.run, files.writer, launch.token)
        self._ranks = Ranks(files.run, stop_signal(grant))
        self._gang: GangPlace = Alone(self._inbox.fileno())
        self._ending: Ending | None = None
        self._kill_at: float | None = None
        self._suspects: Sequence[RankEnd] = ()
        self._failed_at: float | None = None

    def run(self) -> Outcome:
        """Start, watch, end; the run's `finished` event, or this agent's own, is written when this returns."""
        identity = ProcessIdentity.current().to_json()
        about = {"host": os.uname().nodename, "allocation": self._files.allocation} | named(self._grant)
        self._events.write("agent_started", **identity, **about)
        try:
            self._gang = place_in_gang(self._files, self._launch, self._grant, self._inbox.fileno(), self._nodes.name)
            outcome = self._supervise()
        except Exception as error:
            self._ranks.kill()
            say(f"the agent failed: {error!r}")
            outcome = Outcome("failed", f"the agent failed: {error}", failure_class="infrastructure")
        self._leave_nothing()
        outcome = self._agree(outcome)
        speaks = self._speaks_for_all() and outcome.cause != TAKEN
        self._events.write("finished" if speaks else "agent_finished", **outcome.to_data())
        self._gang.close()
        return outcome

    def _supervise(self) -> Outcome:
        """This node's part, from its start to its end."""
        wish = self._wishes.stop(set())
        if wish is not None:
            self._ending = wish
            return Outcome("stopped", "stopped before anything was started", cause=wish.cause)
        start = self._await_start()
        if start is None:
            return self._judge()
        if (refusal := self._start(start)) is not None:
            return refusal
        each = process_count(self._launch, self._grant)
        say(f"{each} ranks run")
        if self._grant.place == 0:
            gang = self._grant.gang or (each,) * self._grant.nodes
            nodes = self._nodes.spread(self._files.index + i for i, here in enumerate(gang) for _ in range(here))
            self._events.note("started", world_size=self._launch.workers, **nodes)
        while not self._over():
            self._events.catch_up()
            self._follow(self._gang.turn(_TICK))
            self._notice(self._ranks.reap(), self._inbox.wait(0))
            self._escalate()
        return self._judge()

    def _await_start(self) -> StartPart | None:
        """Where the ranks meet, once all agents are there; None where there is a reason to end instead."""
        while self._ending is None:
            instructions = self._gang.turn(_TICK)
            self._follow(instructions)
            self._notice([], self._inbox.wait(0))
            start = next((word for word in instructions if isinstance(word, StartPart)), None)
            if start is not None and self._ending is None:
                return start
        return None

    def _start(self, meeting: StartPart) -> Outcome | None:
        """Start every rank of this node; how the part ended where one cannot be started."""
        base, launch = inherited(os.environ), self._launch
        joins = launch.ranks_share_slots and self._grant.place > 0
        argv = launch.joiner_argv if joins else launch.argv
        here = process_count(launch, self._grant) if argv else 0
        for local in range(here):
            rank = rank_of(self._files, launch, local, self._grant)
            added = rank_environment(
                self._files, launch, local, grant=self._grant, host=meeting.host, port=meeting.port
            )
            try:
                self._ranks.start(rank, RankStart(argv, launch.workdir, base | added))
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

    def _follow(self, instructions: Sequence[GangInstruction]) -> None:
        """Do what the lead of the gang says."""
        for instruction in instructions:
            if isinstance(instruction, StopWorkers):
                self._end(Ending("stop", instruction.grace_seconds, cause=instruction.cause, message="the gang stops"))
            elif isinstance(instruction, EndRun):
                message = instruction.message if instruction.outcome == "failed" else "the work of the gang is done"
                self._end(Ending("elsewhere", _FAILURE_GRACE, cause=instruction.outcome, message=message))

    def _agree(self, own: Outcome) -> Outcome:
        """Say how this node's part ended, and learn from the others how the run did, as far as that is its affair."""
        self._gang.tell(self._word(own))
        while (outcome := self._gang.outcome) is None:
            self._events.catch_up()
            self._gang.turn(_TICK)
            wish = self._wishes.look(self._inbox.wait(0))
            if wish is not None and wish.kind != "stop":
                return Outcome("failed", wish.message, failure_class="infrastructure")
            if wish is not None:
                self._gang.tell(AgentLeaves(self._files.index, wish.cause, float(wish.grace_seconds)))
        self._gang.turn(0)
        return outcome

    def _word(self, own: Outcome) -> PartEnded:
        culprit = blamed(self._suspects) if self._suspects else None
        return PartEnded(
            agent=self._files.index,
            **own.to_data() | dict.fromkeys({"failure_class", "exit_code", "cause"} - own.to_data().keys()),
            killed=culprit is not None and culprit.killed,
            elsewhere=self._ending is not None and self._ending.kind == "elsewhere",
            time=self._failed_at or time.time(),
        )

    def _notice(self, ended: list[RankEnd], signals: set[signal.Signals]) -> None:
        wish = self._wishes.look(signals)
        if wish is None and self._grant.node and any(end.terminated for end in ended):
            wish = self._told_soon()
        if wish is not None:
            is_new = self._ending is None
            self._end(wish)
            if is_new and wish.kind == "stop":
                self._gang.tell(AgentLeaves(self._files.index, wish.cause, float(wish.grace_seconds)))
        failed = [end for end in ended if not end.succeeded and (not self._launch.array or concerns_all(end))]
        if failed and self._ending is None:
            self._suspects, self._failed_at = failed, time.time()
            self._end(Ending("failure", _FAILURE_GRACE, message="a rank failed"))

    def _told_soon(self) -> Ending | None:
        """What an engine says that signals every process itself: a rank may end by it before the agent hears it."""
        deadline = time.monotonic() + _SAME_SIGNAL_SECONDS
        while (wish := self._wishes.look(self._inbox.wait(_TICK))) is None and time.monotonic() < deadline:
            pass
        return wish

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
        if self._launch.array and (ending is None or any(concerns_all(end) for end in self._ranks.ends)):
            return judge_array(self._ranks.ends)
        if ending is None:
            return judge_success(self._ranks.ends)
        if ending.kind == "stop":
            return judge_stop(self._ranks.ends, ending.cause)
        if ending.kind == "failure":
            return judge_failure(self._suspects)
        if ending.kind == "elsewhere" and ending.cause != "failed":
            return Outcome("stopped", ending.message, cause="drain")
        return Outcome("failed", ending.message, failure_class="infrastructure")

    def _speaks_for_all(self) -> bool:
        """Whether this agent says how the run ended: of an array who did the last of the work, or is to stop it all."""
        if self._grant.place > 0:
            return False
        if not self._launch.array or process_count(self._launch, self._grant) == self._launch.workers:
            return True
        end = self._ending
        told = end is not None and end.kind == "stop" and (end.whole or end.cause == "time_limit")
        return told or any(concerns_all(end) for end in self._ranks.ends)

    def _leave_nothing(self) -> None:
        """End whatever the ranks have left behind, daemons among it."""
        for survivor in sweep([os.getpid()], (MARK, self._files.allocation)):
            say(f"process {survivor.pid} does not die")
        self._ranks.collect_all(1.0)


def class_of(error: OSError | ValueError) -> str:
    """No retry finds a program that is not there; a machine that is short of something may have it later."""
    lasting = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.E2BIG, errno.ENAMETOOLONG}
    return "infrastructure" if isinstance(error, OSError) and error.errno not in lasting else "permanent"
