"""Reports of a trial wait for its checkpoints, which are written while it trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.trainer import _Reports
from orchestrator.search.trial import Surroundings, TrialEnd, TrialTask, execute
from orchestrator.training.config import EpochReport


class Trial:
    """What a scheduler hears of a trial of 6 epochs, of 10 samples each."""

    def __init__(self, every: int = 1) -> None:
        self.heard: list[float] = []
        self.reports = _Reports(Surroundings(self._hear, lambda samples: None, lambda: False), 6, every)

    def ends(self, *epochs: int) -> None:
        for epoch in epochs:
            self.reports.epoch(EpochReport(epoch, 10 * epoch, 0.1, 0.1, None, {"loss": 0.1, "error": 0.5}))

    def durable(self, *epochs: int) -> None:
        for epoch in epochs:
            self.reports.checkpointed("there", 10 * epoch, 0)

    def _hear(self, metrics: Mapping[str, float]) -> None:
        self.heard.append(metrics["epoch"])


def test_no_report_is_lost_where_checkpoints_are_slower_than_epochs() -> None:
    trial = Trial()
    trial.ends(1, 2, 3)
    assert trial.heard == []
    trial.durable(1)
    assert trial.heard == [1]
    trial.ends(4)
    trial.durable(2, 3)
    assert trial.heard == [1, 2, 3]
    trial.ends(5, 6)
    trial.durable(4, 5, 6)
    assert trial.heard == [1, 2, 3, 4, 5]


def test_epochs_without_a_checkpoint_wait_for_those_before_them_only() -> None:
    trial = Trial(every=2)
    trial.ends(1)
    assert trial.heard == [1]
    trial.ends(2, 3)
    assert trial.heard == [1]
    trial.durable(2)
    assert trial.heard == [1, 2, 3]


def test_a_checkpoint_that_could_not_be_written_holds_no_report_back() -> None:
    trial = Trial()
    trial.ends(1, 2)
    trial.reports.tell("checkpoint_failed", samples=10, reason="disk full")
    trial.reports.tell("goodput", useful_seconds=1.0)
    assert trial.heard == [1]


def test_a_checkpoint_that_is_written_in_between_releases_what_lies_before_it() -> None:
    trial = Trial()
    trial.ends(1)
    trial.reports.checkpointed("there", 5, 0)
    assert trial.heard == []
    trial.reports.checkpointed("there", 15, 0)
    assert trial.heard == [1]


def trains_without_looking(task: TrialTask, around: Surroundings) -> TrialEnd:
    """Two epochs, of which only the second is evaluated."""
    around.report({"epoch": 3, "samples": 300})
    return TrialEnd("finished", {"epoch": 4, "samples": 400, "val_error": 0.1})


@pytest.mark.parametrize(("known", "first"), [({"val_error": 0.2}, 0.2), ({}, 1.0)])
def test_a_trial_that_goes_on_is_compared_by_its_recorded_error_until_it_has_another(
    tmp_path: Path, job: JobDirectory, trials: tuple[TrialRecord, ...], known: dict[str, float], first: float
) -> None:
    TrialRecords(job, 1).save(replace(trials[0], epochs=2, metrics=known))
    told: list[dict[str, Any]] = []
    execute(TrialTask(str(job.path), 1, 0, f"{__name__}:trains_without_looking", str(tmp_path), ""), told.append)
    assert [report["score"] for report in told] == [first, 0.1]
