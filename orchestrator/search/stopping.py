"""The rules that end a search before all its trials have: a budget of hours, and an EDF that has settled."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile

from orchestrator.search.records import TrialRecord
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.search import EdfSettled, StopRules, TrialShare


class StopRule:
    """The rules of one search.

    Args:
        rules: as the workload says.
        share: what each trial takes.
    """

    def __init__(self, rules: StopRules, share: TrialShare) -> None:
        budgets = ((rules.gpu_hours, share.gpus, "GPU hours"), (rules.core_hours, share.cpus, "core hours"))
        self._budgets = [(hours, each, name) for hours, each, name in budgets if hours is not None]
        self._edf = None if rules.edf_settled is None else _SettledEdf(rules.edf_settled)

    @classmethod
    def of(cls, workload: RegNetWorkload) -> StopRule:
        """Those of a workload."""
        return cls(StopRules() if workload.search is None else workload.search.stop, workload.trial_share)

    def met(self, trials: Collection[TrialRecord]) -> str:
        """Which rule ends the search, in words; empty where none does.

        Args:
            trials: all of them, by index; their seconds are those of all runs.
        """
        for budget, each, name in self._budgets:
            if sum(trial.seconds for trial in trials) / 3600 * each >= budget:
                return f"the budget of {budget:g} {name} is used up"
        return "" if self._edf is None else self._edf.met(trials)


class _SettledEdf:
    """Whether the last models have moved the EDF; each further model is looked at once."""

    def __init__(self, rule: EdfSettled) -> None:
        self._rule = rule
        self._models = 2 * rule.last

    def met(self, trials: Iterable[TrialRecord]) -> str:
        errors, last = errors_in_order(trials), self._rule.last
        while self._models <= len(errors):
            looked_at = errors[: self._models]
            distance = ks_distance(looked_at[:-last], looked_at)
            if distance <= self._rule.distance:
                return f"the last {last} of {self._models} models moved the EDF by no more than {distance:.3f}"
            self._models += 1
        return ""


def errors_in_order(trials: Iterable[TrialRecord]) -> list[float]:
    """Errors of the finished trials before the first that has not ended, by index.

    Which trials are the first does not depend on how fast they are: the decision is a function of what they found.
    """
    ended = takewhile(lambda trial: trial.state not in {"pending", "running"}, trials)
    return [e for trial in ended if trial.state == "succeeded" and (e := trial.val_error) is not None]


def ks_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The Kolmogorov-Smirnov statistic of two samples, by which arXiv 1905.13214 compares EDFs.

    ::

        D = max_e |F_one(e) - F_other(e)|
    """
    first, second = sorted(one), sorted(other)
    return max(
        abs(bisect_right(first, error) / len(first) - bisect_right(second, error) / len(second))
        for error in {*first, *second}
    )
