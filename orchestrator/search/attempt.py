"""A trial in the hands of one worker of an array: run, and run again where it fails, as often as the search allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.search.claims import Claim, Claims
from orchestrator.search.faults import may_retry
from orchestrator.search.ledger import REPORTED, Ledger
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.setting import Setting
from orchestrator.search.trial import STOP_FILE, TrialFailed, TrialTask
from orchestrator.search.trialprocess import TrialProcess
from orchestrator.search.voice import Voice

_CHECK_SECONDS = 2.0
_LOST = "its worker was lost"


def work_name(index: int) -> str:
    """What a trial is called among the claims."""
    return f"trial-{index:05d}"


class Attempt:
    """One trial.

    Args:
        setting: the search.
        claims: of the run.
        trial: its record.
        claim: of this worker.
        voice: says how it goes.
        meeting: the folder where worker and trial meet.
        trainer: import path of what trains it.
    """

    def __init__(
        self,
        setting: Setting,
        claims: Claims,
        trial: TrialRecord,
        claim: Claim,
        voice: Voice,
        meeting: Path,
        trainer: str,
    ) -> None:
        context, search = setting.context, setting.workload.search
        assert search is not None
        self._claims, self._claim, self._index = claims, claim, trial.index
        self._lost = claim.failures > 0 and trial.state == "running"
        self._retries, self._meeting = search.retries, meeting
        self._task = TrialTask(
            str(context.job.path), context.token, trial.index, trainer, str(meeting), str(context.run.path)
        )
        self._ledger = Ledger(
            [replace(trial, state="pending")],
            _Held(setting.records, self._hold),
            voice,
            epochs=setting.workload.train.epochs,
            samples_per_epoch=setting.epoch,
        )
        self._checked = float("-inf")

    def run(self, process: TrialProcess, stopping: Callable[[], bool], idle: Callable[[], None]) -> None:
        """Run it to its end, or until this worker is to stop.

        Args:
            process: where it runs.
            stopping: whether to stop.
            idle: called now and then.

        Raises:
            Conflict: another worker has taken it over.
            Fenced: a newer run owns the job.
        """
        self._meeting.mkdir(parents=True, exist_ok=True)
        if self._lost:
            self._failed("infrastructure", _LOST, claimed=True)
        while self._ledger.pending and not stopping():
            self._ledger.began(self._index)
            try:
                process.run(self._task, self._hear, lambda: self._idle(stopping, idle))
            except TrialFailed as error:
                self._failed(*TrialFailed.read(str(error)))

    def _failed(self, failure_class: str, message: str, *, claimed: bool = False) -> None:
        if not may_retry(self._ledger.trials[0].failures, failure_class, self._retries):
            self._ledger.failed(self._index, message, failure_class)
            return
        if not claimed:
            self._claim = self._claims.failed(work_name(self._index), self._claim)
        self._ledger.failed_once(self._index, message, failure_class)

    def _hear(self, report: Mapping[str, Any]) -> None:
        self._ledger.reported(self._index, {name: report[name] for name in REPORTED if name in report})

    def _idle(self, stopping: Callable[[], bool], idle: Callable[[], None]) -> None:
        if stopping():
            (self._meeting / STOP_FILE).touch()
        if time.monotonic() - self._checked > _CHECK_SECONDS:
            self._checked = time.monotonic()
            self._hold()
        idle()

    def _hold(self) -> None:
        self._claims.hold(work_name(self._index), self._claim)


class _Held(TrialRecords):
    """Records that are written while the claim of their trial stands."""

    def __init__(self, records: TrialRecords, hold: Callable[[], None]) -> None:
        super().__init__(records.job, records.token)
        self._hold = hold

    def save_all(self, records: Iterable[TrialRecord], *, durable: bool = False) -> None:
        self._hold()
        super().save_all(records, durable=durable)
