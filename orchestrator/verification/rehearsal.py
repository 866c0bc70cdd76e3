"""One training in a storm: starts real agents and workers on this machine, and acts where the script says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.backends.local import LocalBackend
from orchestrator.backends.protocol import AllocationState, LaunchRequest
from orchestrator.base.errors import OrchestratorError, TimedOut
from orchestrator.base.files import write_atomic
from orchestrator.base.text import counted
from orchestrator.planning.launch import RANK_MODULE, launch_for
from orchestrator.rundir.audit import audit_folder, read_audit
from orchestrator.rundir.control import Control, read_control, write_control
from orchestrator.rundir.events import RunEvent, find_event, read_events
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import write_launch
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.spec.load import freeze_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.verification.hook import Marks
from orchestrator.verification.storm import SCRIPT, STORM_VARIABLE, Action, Storm

_POLL_SECONDS = 0.02
_GRACE_SECONDS = 60.0
_SILENCE_SECONDS = 300.0
_SHOW_SECONDS = 2.0
STORM_MODULE = "orchestrator.verification.rank"
"""What each worker runs in the place of the usual module."""


class RehearsalFailed(OrchestratorError):
    """A training of a verification did not come to its end."""

    code = "verification_failed"


@dataclass
class Rehearsal:
    """One training.

    Attributes:
        job: its directory.
        workload: what is trained.
        storm: what happens.
        backend: this machine.
        workdir: where the workload's relative paths start.
        say: told what happens, for people.
    """

    job: JobDirectory
    workload: RegNetWorkload
    storm: Storm
    backend: LocalBackend
    workdir: str
    say: Callable[[str], None] = lambda text: None
    _number: int = field(default=0, init=False)
    _shown: tuple[int, float] = field(default=(0, 0.0), init=False)
    _hits: set[int] = field(default_factory=set, init=False)

    @property
    def _folder(self) -> Path:
        return self.job.path / "storm"

    @property
    def runs(self) -> list[RunDirectory]:
        """All runs so far."""
        return [self._directory(number) for number in range(1, self._number + 1)]

    def run(self) -> JobDirectory:
        """Train to the end, through everything.

        Raises:
            RehearsalFailed: a run failed.
            TimedOut: nothing happened for minutes.
        """
        self.job.create()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.storm.write(self._folder / SCRIPT)
        write_atomic(self.job.spec, freeze_workload(self.workload).encode())
        workers: int | None = self.storm.workers
        while workers is not None:
            allocation = self._launch(workers)
            try:
                workers = self._follow(allocation)
            finally:
                self.backend.kill(allocation)
        return self.job

    def _directory(self, number: int) -> RunDirectory:
        return self.job.run(f"{self.job.path.name}-r{number}")

    def _launch(self, workers: int) -> str:
        self._number += 1
        run, token = self._directory(self._number), self._number
        run.create()
        raise_fence(self.job, token)
        launch = launch_for(
            self.workload, job=self.job.path.name, run=run.run, token=token, workers=workers, workdir=self.workdir
        )
        argv = tuple(STORM_MODULE if part == RANK_MODULE else part for part in launch.argv)
        launch = replace(launch, argv=argv, env=dict(launch.env) | {STORM_VARIABLE: str(self._folder)})
        write_launch(run, launch)
        write_control(run, Control(generation=1, token=token, want="run", world_size=workers))
        allocation = f"{run.run}.0"
        self.backend.launch(LaunchRequest(allocation, run, launch))
        return allocation

    def _follow(self, allocation: str) -> int | None:
        """Act until the run is over; the workers of the run that follows, None where the training is finished."""
        run, marks = self._directory(self._number), Marks(self._folder)
        cursors: dict[str, int] = {}
        heard = time.monotonic()
        while True:
            for event in read_events(run, cursors):
                cursors[event.writer] = event.seq + 1
                heard = time.monotonic()
                self._tell(event)
            for number, action in enumerate(self.storm.actions):
                self._tell_of_hit(number, action, marks)
                if marks.reached(number).exists() and not marks.acted(number).exists():
                    follower = self._act(action, run, allocation)
                    marks.set(marks.acted(number))
                    heard = time.monotonic()
                    if follower is not None:
                        self._await_end(allocation, run, killed=action.kind == "crash")
                        return follower
            self._show(run)
            if find_event(run, "finished") is not None:
                self._await_end(allocation, run, killed=False)
                return None
            state = self.backend.observe([allocation])[allocation].state
            if state in (AllocationState.ENDED, AllocationState.ABSENT) and find_event(run, "finished") is None:
                raise RehearsalFailed(f"{run.run} ended without a word", hint=f"see {run.logs}")
            if time.monotonic() - heard > _SILENCE_SECONDS:
                raise TimedOut(f"{run.run}: nothing happened for {_SILENCE_SECONDS:g} s", hint=f"see {run.logs}")
            time.sleep(_POLL_SECONDS)

    def _act(self, action: Action, run: RunDirectory, allocation: str) -> int | None:
        """Carry out what is the driver's; the workers of the next run where this one is over by it."""
        self.say(f"step {action.step}: {action.name}")
        control = read_control(run)
        assert control is not None
        match action.kind:
            case "resize":
                write_control(run, control.next(world_size=action.workers))
                return None
            case "stop":
                write_control(run, control.next(want="stop", cause="preempt", grace_seconds=_GRACE_SECONDS))
                return action.workers
            case "crash":
                self.backend.kill(allocation)
                return action.workers
            case _:
                return None

    def _await_end(self, allocation: str, run: RunDirectory, *, killed: bool) -> None:
        """Until the allocation holds nothing any more.

        Raises:
            RehearsalFailed: it ended in a way that the script does not have.
        """
        deadline = time.monotonic() + _GRACE_SECONDS + 30
        over = (AllocationState.ENDED, AllocationState.ABSENT)
        while self.backend.observe([allocation])[allocation].state not in over:
            if time.monotonic() > deadline:
                raise TimedOut(f"{run.run} does not end", hint=f"see {run.logs}")
            time.sleep(_POLL_SECONDS)
        finished = find_event(run, "finished")
        if not killed and (finished is None or finished.data.get("outcome") == "failed"):
            word = "without a word" if finished is None else str(finished.data.get("message"))
            raise RehearsalFailed(f"{run.run} failed: {word}", hint=f"see {run.logs}")

    def _tell(self, event: RunEvent) -> None:
        if event.kind == "resized":
            self.say(f"{counted(event.data.get('world_size'), 'worker')} ({event.data.get('cause')})")

    def _tell_of_hit(self, number: int, action: Action, marks: Marks) -> None:
        """Of a kill or a hang, which a worker carries out on itself."""
        if action.kind in ("kill", "hang") and number not in self._hits and marks.acted(number).exists():
            self._hits.add(number)
            self.say(f"step {action.step}: {action.name}")

    def _show(self, run: RunDirectory) -> None:
        """How far it is, every few seconds."""
        step, at = self._shown
        if time.monotonic() < at + _SHOW_SECONDS:
            return
        newest = max((audit.step + 1 for audit in read_audit(audit_folder(run))), default=0)
        if newest > step:
            self.say(f"{newest} of {self.workload.train.max_steps} steps")
        self._shown = max(newest, step), time.monotonic()
