"""Schedulers that end trials early go on where the search's last run was, as far as its trials have reported."""

from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.search.records import Curve
from orchestrator.search.schedulers import tune_scheduler
from orchestrator.spec.search import TrialScheduler

EPOCHS = 9
ERRORS = (0.5, 0.2, 0.4, 0.1, 0.3, 0.6, 0.15, 0.45)
"""Of eight trials, at their first epochs; all get better alike."""


@dataclass(frozen=True)
class Trial:
    """A trial as Tune has it: another identifier in each run of the search."""

    index: int
    run: int

    @property
    def trial_id(self) -> str:
        return f"{self.run}-{self.index}"

    @property
    def config(self) -> dict[str, int]:
        return {"index": self.index}


class Controller:
    """Tune's, of which schedulers ask whether others wait."""

    def get_live_trials(self) -> list[Trial]:
        return []


class Run:
    """One run of a search: its scheduler, told of epochs one by one."""

    def __init__(self, settings: dict[str, Any], number: int, curves: dict[int, Curve]) -> None:
        self.scheduler: Any = tune_scheduler(TrialScheduler.model_validate(settings), EPOCHS, curves)
        self.scheduler.set_search_properties("score", "min")
        self.number, self.added = number, set[int]()

    def decides(self, index: int, epoch: int) -> str:
        """What becomes of a trial after an epoch."""
        trial = Trial(index, self.number)
        if index not in self.added:
            self.added.add(index)
            self.scheduler.on_trial_add(Controller(), trial)
        report = {"epoch": epoch, "score": score(index, epoch)}
        decision = str(self.scheduler.on_trial_result(Controller(), trial, report))
        if decision == "STOP":
            self.scheduler.on_trial_complete(Controller(), trial, report)
        return decision


def score(index: int, epoch: int) -> float:
    return ERRORS[index] / epoch


def decisions(settings: dict[str, Any], *, interrupted_after: int | None) -> list[tuple[int, int, str]]:
    """Of a search in which trials train in turns, four first and four that come later."""
    run, curves, ended, found = Run(settings, 1, {}), dict[int, Curve](), set[int](), []
    order = [(index, epoch) for group in (range(4), range(4, 8)) for epoch in range(1, EPOCHS) for index in group]
    for number, (index, epoch) in enumerate(order):
        if number == interrupted_after:
            run = Run(settings, 2, {each: curves.get(each, ()) for each in range(8)})
        if index in ended:
            continue
        found.append((index, epoch, run.decides(index, epoch)))
        curves[index] = (*curves.get(index, ()), (float(epoch), score(index, epoch)))
        if found[-1][2] == "STOP":
            ended.add(index)
    return found


@pytest.mark.parametrize(
    "settings",
    [{"type": "asha", "grace_epochs": 1, "reduction_factor": 3}, {"type": "median", "grace_epochs": 2}],
    ids=["asha", "median"],
)
def test_a_restart_of_the_search_changes_no_decision(settings: dict[str, Any]) -> None:
    whole = decisions(settings, interrupted_after=None)
    assert {decision for _, _, decision in whole} == {"CONTINUE", "STOP"}
    for after in (3, 10, 17, 32, 37, 45):
        assert decisions(settings, interrupted_after=after) == whole


def test_a_trial_that_goes_back_to_its_checkpoint_is_judged_by_each_epoch_once() -> None:
    run = Run({"type": "median"}, 1, dict.fromkeys(range(4), ((1.0, 0.1), (2.0, 0.1))))
    assert [run.decides(7, epoch) for epoch in (1, 1)] == ["STOP", "CONTINUE"]
    known = Run({"type": "asha"}, 2, {0: ((1.0, 0.1),), 5: ((1.0, 0.6),)})
    assert known.decides(5, 1) == "CONTINUE"  # it was in the earlier run
    assert known.decides(7, 1) == "STOP"
