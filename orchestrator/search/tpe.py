"""The sampler `tpe`: models like the best so far, suggested by Optuna's tree-structured Parzen estimator.

Source: Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (NeurIPS 2011), as Optuna's `TPESampler` has it.

A suggestion is a function of the workload's seed, its own index and the trials before it: every time a study is made
anew from the records, so that a driver that was killed suggests what it would have suggested. Optuna works on the
multiples of each axis' step, so that whatever it says lies on the axes.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.blueprint.space import AXES, DesignSpace, SampledDesign, examine
from orchestrator.blueprint.workload import STARTUP_TRIALS, space_of
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.population import fresh_trial, parameters_of_trial
from orchestrator.search.records import TrialRecord
from orchestrator.spec.regnet import RegNetWorkload

_MOST_ASKED = 100
"""Suggestions that break a constraint, after which a model is drawn at random instead."""


@dataclass(frozen=True)
class TpeSampler:
    """Suggests the trials of a search.

    Attributes:
        workload: with a search.
        job: whose trials they are.
        in_channels: of the images.
        num_classes: of the dataset.
        draws: that the models took which are known before the search begins.
    """

    workload: RegNetWorkload
    job: JobDirectory
    in_channels: int
    num_classes: int
    draws: int = 0

    @property
    def total(self) -> int:
        """Trials that the search is to have."""
        search = self.workload.search
        assert search is not None
        return search.trials

    def over(self, trials: Collection[TrialRecord]) -> bool:
        """Whether there are as many trials as the search is to have."""
        return len(trials) >= self.total

    @property
    def exhausted(self) -> str:
        """Why the search has fewer trials than it is to have, in words."""
        search = self.workload.search
        assert search is not None
        return f"no further model of the space was found in search.max_draws: {search.max_draws:,} draws"

    def draws_left(self, trials: Collection[TrialRecord]) -> int:
        """Of those that the whole search may make, suggestions that were dropped among them."""
        search = self.workload.search
        assert search is not None
        suggested = [trial for trial in trials if trial.index >= STARTUP_TRIALS]
        return max(0, search.max_draws - self.draws - sum(1 + sum(each.rejected.values()) for each in suggested))

    def suggest(self, trials: Collection[TrialRecord]) -> TrialRecord | None:
        """The next trial; None where there is to be none, or the space holds no further model.

        Args:
            trials: all so far: those that were measured are learned from, those that run are not suggested again.
        """
        if self.over(trials):
            return None
        known = {trial.index for trial in trials}
        index = next(i for i in range(len(trials) + 1) if i not in known)
        return _Suggestion(self, index, trials).find()


class _Suggestion:
    """One trial that is looked for."""

    def __init__(self, sampler: TpeSampler, index: int, trials: Collection[TrialRecord]) -> None:
        self._sampler, self._index = sampler, index
        self._space, self._constraints = space_of(sampler.workload)
        self._taken = {parameters_of_trial(trial, sampler.workload.model).design() for trial in trials}
        self._trials = trials
        self._rejected: Counter[str] = Counter()
        self._left = sampler.draws_left(trials)

    def find(self) -> TrialRecord | None:
        """The trial, with what was dropped before it; None where no further model is found."""
        member = self._asked() or self._drawn()
        if member is None:
            return None
        record = fresh_trial(member, self._sampler.workload, self._sampler.job)
        return replace(record, rejected=dict(self._rejected))

    def _asked(self) -> SampledDesign | None:
        """What Optuna suggests; what breaks a constraint is told to it as pruned, and costs no trial."""
        from optuna.trial import TrialState

        axes = _distributions(self._space)
        study = _study(self._space, self._trials, seed=self._seed)
        for _ in range(min(_MOST_ASKED, self._left)):
            trial = study.ask(axes)
            values = {name: self._space.axis(name).at(trial.params[name]) for name in AXES}
            if (member := self._kept(self._space.member(values))) is not None:
                return member
            study.tell(trial, state=TrialState.PRUNED)
        return None

    def _drawn(self) -> SampledDesign | None:
        """A random model: TPE does not get away from models that break a constraint, or are there already."""
        generator = random.Random(self._seed)
        found = (self._kept(self._space.draw(generator)) for _ in range(self._left - sum(self._rejected.values())))
        return next((member for member in found if member is not None), None)

    def _kept(self, parameters: RegNetParameters) -> SampledDesign | None:
        if not self._space.holds(parameters):
            self._rejected["invalid"] += 1
            return None
        sampler = self._sampler
        size, channels, classes = sampler.workload.data.image_size, sampler.in_channels, sampler.num_classes
        member = examine(self._index, parameters, image_size=size, in_channels=channels, num_classes=classes)
        fault = self._constraints.broken_by(member.complexity) or (
            "duplicate" if member.design in self._taken else None
        )
        if fault is None:
            return member
        self._rejected[fault] += 1
        return None

    @property
    def _seed(self) -> int:
        digest = hashlib.blake2b(f"{self._sampler.workload.seed}:suggestion:{self._index}".encode(), digest_size=4)
        return int.from_bytes(digest.digest(), "big")


def _distributions(space: DesignSpace) -> dict[str, Any]:
    """Each axis in multiples of its step."""
    from optuna.distributions import IntDistribution

    axes = {name: space.axis(name) for name in AXES}
    return {name: IntDistribution(*axis.counts, log=axis.scale == "log") for name, axis in axes.items()}


def _study(space: DesignSpace, trials: Collection[TrialRecord], *, seed: int) -> Any:
    """A study that knows these trials: those that run count as no better than the worst (the constant liar)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, constant_liar=True)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    axes, states = _distributions(space), optuna.trial.TrialState
    for trial in trials:
        error = trial.val_error
        at = {name: space.axis(name).count(trial.parameters[name]) for name in AXES}
        if trial.state == "succeeded" and error is not None:
            known: dict[str, Any] = {"state": states.COMPLETE, "value": error}
        elif trial.state == "stopped" and error is not None:
            known = {"state": states.PRUNED, "intermediate_values": {round(trial.epochs): error}}
        elif trial.state in {"pending", "running"}:
            known = {"state": states.RUNNING}
        else:
            continue
        study.add_trial(optuna.trial.create_trial(params=at, distributions=axes, **known))
    return study
