"""The search's scheduler as one of Tune's: it compares validation errors at equal epochs; lower is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune import schedulers
from ray.tune.experiment import Trial

from orchestrator.search.records import Curve
from orchestrator.spec.search import TrialScheduler

EPOCH, SCORE = "epoch", "score"
"""What is compared of a report, and at which time."""


def tune_scheduler(
    settings: TrialScheduler, epochs: int, curves: Mapping[int, Curve] | None = None
) -> schedulers.TrialScheduler:
    """What ends trials early; `none` and `pbt` let all of them finish.

    Args:
        settings: the workload's section.
        epochs: of a whole training; nothing is decided after the last one.
        curves: what trials have reported in earlier runs of the search, by index; of `asha` and `median`.
    """
    grace, known = min(settings.grace_epochs, epochs), curves or {}
    if settings.type == "asha":
        return _Asha(
            known,
            time_attr=EPOCH,
            max_t=epochs,
            grace_period=grace,
            reduction_factor=settings.reduction_factor,
        )
    if settings.type == "hyperband":
        return schedulers.HyperBandScheduler(time_attr=EPOCH, max_t=epochs, reduction_factor=settings.reduction_factor)
    if settings.type == "median":
        return _Median(known, time_attr=EPOCH, grace_period=grace, hard_stop=True)
    return schedulers.FIFOScheduler()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Member:
    """A trial to the scheduler: the same one in every run of the search, whatever Tune calls it."""

    trial_id: str


class _Recalling(schedulers.TrialScheduler):
    """A scheduler that knows what trials reported in earlier runs of the search, and hears of each epoch once.

    Args:
        curves: of all trials, by index.
        settings: Tune's own.
    """

    def __init__(self, curves: Mapping[int, Curve], **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self._curves, self._heard = dict(curves), dict[int, float]()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial of this run, or one that goes on after a failure; with the first, all that is known."""
        for index in (*self._curves, _index(trial)):
            if index not in self._heard:
                self._recall(tune_controller, index, self._curves.get(index, ()))
        self._curves.clear()

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Whether a trial goes on: asked once of each epoch."""
        if not self._news(trial, result):
            return schedulers.TrialScheduler.CONTINUE
        return str(super().on_trial_result(tune_controller, _member(_index(trial)), result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """A trial has ended; what it has reported stays."""
        if self._news(trial, result):
            super().on_trial_complete(tune_controller, _member(_index(trial)), result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """A trial is not run any more; what it has reported stays."""

    def _recall(self, tune_controller: Any, index: int, curve: Curve) -> None:
        """Tell of an earlier run; a trial that ends is not judged, and may be added again."""
        self._heard[index] = curve[-1][0] if curve else 0.0
        for epoch, score in curve:
            super().on_trial_add(tune_controller, _member(index))
            super().on_trial_complete(tune_controller, _member(index), {EPOCH: epoch, SCORE: score})
        super().on_trial_add(tune_controller, _member(index))

    def _news(self, trial: Trial, result: Mapping[str, Any]) -> bool:
        epoch, index = float(result.get(EPOCH, 0)), _index(trial)
        if epoch <= self._heard[index]:
            return False
        self._heard[index] = epoch
        return True


class _Asha(_Recalling, schedulers.AsyncHyperBandScheduler):
    """Successive halving whose rungs hold what earlier runs found."""


class _Median(_Recalling, schedulers.MedianStoppingRule):
    """The median stopping rule over the trials of all runs."""


def _member(index: int) -> Any:
    return _Member(f"trial-{index}")


def _index(trial: Trial) -> int:
    return int(trial.config["index"])
