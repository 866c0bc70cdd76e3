"""The workers of one allocation of an elastic run: each in a place, started and ended as the coordinator says."""

from __future__ import annotations

import os
import time

from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.sweep import sweep
from orchestrator.rundir.allocations import MARK, AllocationFiles
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.runtime.environment import WORKER, inherited, stop_signal, worker_environment
from orchestrator.runtime.logs import say
from orchestrator.runtime.membership.events import WorkerDone, WorkerGone, WorkerRuns, WorkerStarted
from orchestrator.runtime.outcome import UNHEARD, RankEnd, classify, describe
from orchestrator.runtime.places import Places
from orchestrator.runtime.ranks import Ranks, RankStart
from orchestrator.runtime.supervisor import class_of

_SWEEP_SECONDS = 0.05
"""How long the agent waits at a time for helpers of an ended worker to die."""
_CLEAR_WITHIN = 10.0
"""After so long its place is given away all the same."""

EndWord = WorkerDone | WorkerGone


class Crew:
    """The worker processes.

    Args:
        files: the allocation.
        launch: what they execute.
        places: where they sit.
        grant: of the allocation.
    """

    def __init__(self, files: AllocationFiles, launch: Launch, places: Places, grant: Grant) -> None:
        self._files = files
        self._launch = launch
        self._places = places
        self._grant = grant
        self._ranks = Ranks(files.run, stop_signal(grant))
        self._base = inherited(os.environ)
        self._stopping = False
        self._computed: dict[int, int] = {}
        self._clearing: dict[int, tuple[EndWord, float]] = {}

    @property
    def living(self) -> tuple[int, ...]:
        """Numbers of the workers that run, or whose helpers are still being ended."""
        return (*self._ranks.living, *self._clearing)

    def start(self, number: int) -> WorkerStarted | EndWord:
        """Start a worker; what is to be told of it."""
        try:
            devices = self._places.occupy(number)
        except BackendUnavailable as error:
            return WorkerGone(number, error.message)
        added = worker_environment(self._files, self._launch, number, grant=self._grant, devices=devices)
        try:
            self._ranks.start(number, RankStart(self._launch.argv, self._launch.workdir, self._base | added))
        except (OSError, ValueError) as error:
            self._places.vacate(number)
            return self._cannot_start(number, error)
        say(f"worker {number} started")
        return WorkerStarted(number)

    def end(self, number: int, why: str) -> None:
        """Kill a worker and its process group; harmless where it has ended."""
        if number in self._ranks.living:
            say(f"worker {number} is ended: {why}")
            self._ranks.kill_one(number)

    def reap(self) -> list[EndWord]:
        """The workers that have ended, and all that they had started; what is to be told of them."""
        for end in self._ranks.reap():
            self._ranks.end_group(end.rank)
            self._clearing[end.rank] = (self._word(end), time.monotonic() + _CLEAR_WITHIN)
        return [word for number in list(self._clearing) if (word := self._cleared(number)) is not None]

    def _cleared(self, number: int) -> EndWord | None:
        """The word on a worker once its place is free: helpers that have left its group may hold its GPU."""
        word, until = self._clearing[number]
        marks = ((MARK, self._files.allocation), (WORKER, str(number)))
        left = sweep([], *marks, seconds=_SWEEP_SECONDS)
        if left and time.monotonic() < until:
            return None
        for survivor in left:
            say(f"process {survivor.pid} of worker {number} does not die")
        del self._clearing[number]
        self._places.vacate(number)
        return word

    def computing(self) -> list[WorkerRuns]:
        """The workers whose processes have computed since the last look."""
        before, self._computed = self._computed, self._ranks.computing()
        return [WorkerRuns(number) for number, ticks in self._computed.items() if ticks > before.get(number, 0)]

    def ask_to_stop(self) -> None:
        """The whole run stops, and who ends from now on without a word has stopped with it."""
        self._stopping = True
        self._ranks.ask_to_stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._ranks.kill()

    def collect(self, seconds: float) -> None:
        """Wait for workers that were killed."""
        self._ranks.collect_all(seconds)

    def _word(self, end: RankEnd) -> EndWord:
        """From how a process ended to what that means: its own word, a failure of its program, or a loss."""
        marker = end.marker
        say(f"worker {end.rank} has ended: exit code {end.exit_code}, {marker.outcome if marker else 'without a word'}")
        if marker is not None:
            message = describe(end) if marker.outcome == "failed" else marker.message
            failure = classify(end) if marker.outcome == "failed" else None
            return WorkerDone(end.rank, marker.outcome, message, failure)
        if self._stopping:
            return WorkerDone(end.rank, "stopped", describe(end))
        if end.exit_code == UNHEARD:
            return WorkerGone(end.rank, f"{describe(end)}: its disk took nothing", "infrastructure")
        if end.exit_code >= 0 and not end.killed:  # its program's own doing: another try ends the same
            return WorkerDone(end.rank, "failed", describe(end), classify(end))
        return WorkerGone(end.rank, describe(end), classify(end))

    def _cannot_start(self, number: int, error: OSError | ValueError) -> EndWord:
        if os.path.isdir(self._launch.workdir):
            message = f"rank {number} cannot be started: {self._launch.argv[0]!r}: {error}"
        else:
            message = f"rank {number} cannot be started: no working directory {self._launch.workdir!r}"
        failure = class_of(error)
        if failure == "permanent":
            return WorkerDone(number, "failed", message, failure)
        return WorkerGone(number, message, failure)
