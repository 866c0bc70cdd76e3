"""A worker of an array: it runs the trials that no other worker runs, without Ray.

Workers know nothing of each other but their files (`lives`, `claims`). Who finds nothing to do leaves, but for one, who
waits for the others' trials, runs those of a worker that died, and in the end publishes what was found.
"""

from __future__ import annotations

import time
from pathlib import Path

from orchestrator.base.errors import Conflict
from orchestrator.base.files import write_atomic
from orchestrator.recipes.ending import Ending
from orchestrator.search.attempt import Attempt, work_name
from orchestrator.search.claims import Claim, Claims
from orchestrator.search.ledger import Progress
from orchestrator.search.lives import Life, Lives
from orchestrator.search.overview import Overview
from orchestrator.search.population import resumed_trials
from orchestrator.search.setting import Setting
from orchestrator.search.trial import REGNET_TRAINER
from orchestrator.search.trialprocess import TrialProcess

_TICK = 0.2
_LOOK_SECONDS = 2.0
"""Between two looks at what others do: each lists the claims, and reads some files for every trial that runs."""


class ArrayWorker:
    """One worker.

    Args:
        setting: the search.
        trainer: import path of what trains a trial.
        lives: which workers live; default: as their files say.
    """

    def __init__(self, setting: Setting, *, trainer: str = REGNET_TRAINER, lives: Lives | None = None) -> None:
        self._setting, self._trainer = setting, trainer
        self._number = setting.context.number
        self._folder = setting.context.run.path / "array"
        self._workers = self._folder / "workers"
        self._lives = lives or Lives(self._workers)
        self._claims = Claims(self._folder / "claims", self._number, self._lives)
        self._voice = setting.voice()
        self._looked = float("-inf")

    def work(self) -> Ending:
        """Do what there is to do, and leave.

        Raises:
            Fenced: a newer run owns the job.
        """
        life, process = Life(self._workers, self._number), TrialProcess()
        try:
            if not self._prepare():
                return self._setting.stopped(self._setting.fresh)
            self._overview = Overview(self._setting.records.load().values(), self._setting.records)
            self._progress = Progress(
                self._overview.trials,
                self._voice,
                planned=self._setting.workload.train.epochs * self._setting.epoch,
            )
            return self._work(process)
        finally:
            process.close()
            life.leave()

    def _work(self, process: TrialProcess) -> Ending:
        while not self._stopping():
            if (found := self._next()) is not None:
                self._run(process, *found)
            elif self._claims.take("rest") is None:
                return Ending("left", "no trial was left to begin")
            elif not self._overview.left:
                self._look(now=True)
                return self._setting.finish(self._overview.trials, process)
            else:
                self._look()
                self._rest()
        for index in self._overview.left:
            self._overview.look(index)
        return self._setting.stopped(self._overview.trials)

    def _rest(self) -> None:
        """Until the next look at trials that others run."""
        until = time.monotonic() + _LOOK_SECONDS
        while time.monotonic() < until and not self._stopping():
            time.sleep(_TICK)

    def _prepare(self) -> bool:
        """Write the records that all work on, or wait for who does; False where the run was asked to stop."""
        ready = self._folder / "ready"
        while not ready.exists():
            if self._stopping():
                return False
            if self._claims.take("records") is None:
                time.sleep(_TICK)
                continue
            trials = resumed_trials(self._setting.fresh, self._setting.records.load())
            self._setting.records.save_all(trial for trial in trials if not trial.over)
            self._setting.announce()
            write_atomic(ready, b"")
        return True

    def _next(self) -> tuple[int, Claim] | None:
        """A trial that nobody runs, claimed."""
        for index in self._overview.left:
            held = self._claims.current(work_name(index))
            if held is not None and (self._over(index) or self._lives.lives(held.worker)):
                continue
            claim = self._claims.take(work_name(index))
            if claim is not None and not self._over(index):
                return index, claim
        return None

    def _over(self, index: int) -> bool:
        self._overview.look(index)
        return self._overview.over(index)

    def _run(self, process: TrialProcess, index: int, claim: Claim) -> None:
        trial = self._overview.look(index)
        attempt = Attempt(self._setting, self._claims, trial, claim, self._voice, self._meeting, self._trainer)
        try:
            attempt.run(process, self._stopping, self._look)
        except Conflict as error:
            self._voice.note(f"trial {index}: {error}")
        self._over(index)

    def _look(self, *, now: bool = False) -> None:
        """Of all workers that live, the first says how far the search is."""
        if not now and time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if now or not any(self._lives.lives(number) for number in range(self._number)):
            begun = self._claims.begun()
            meetings = self._folder.glob("work-*")
            self._overview.tell(self._progress, lambda index: work_name(index) in begun, meetings, force=now)

    def _stopping(self) -> bool:
        return self._setting.context.should_stop() is not None

    @property
    def _meeting(self) -> Path:
        return self._folder / f"work-{self._number}"
