"""Suggestions of Optuna's TPE: within the space, a function of seed and records, and better than chance."""

import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.blueprint.space import AXES
from orchestrator.blueprint.workload import known_population, space_of
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.population import fresh_trials, parameters_of_trial
from orchestrator.search.records import TrialRecord
from orchestrator.search.tpe import TpeSampler
from orchestrator.spec.regnet import RegNetWorkload

MakeWorkload = Callable[..., RegNetWorkload]


def error_of(trial: TrialRecord) -> float:
    """Deep models of wide groups are good ones here."""
    return 1 - trial.parameters["depth"] / 24 - trial.parameters["group_width"] / 64


def searched(workload: RegNetWorkload, job: JobDirectory, trials: tuple[TrialRecord, ...] = ()) -> list[TrialRecord]:
    """All trials of a search that runs one at a time; those that are given have ended before."""
    sampler = TpeSampler(workload, job, 1, 10)
    population = known_population(workload, in_channels=1, num_classes=10)
    found = list(trials) or [measured(trial) for trial in fresh_trials(population, workload, job)]
    while (trial := sampler.suggest(found)) is not None:
        found.append(measured(trial))
    return found


def measured(trial: TrialRecord) -> TrialRecord:
    return replace(trial, state="succeeded", metrics={"val_error": error_of(trial)})


@pytest.fixture(scope="module")
def tpe(make_workload: MakeWorkload) -> RegNetWorkload:
    return make_workload(trials=30, sampler="tpe", constraints={"flops": "0..1.5M"})


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> JobDirectory:
    return JobDirectory.under(tmp_path_factory.mktemp("tpe"), "job-1")


@pytest.fixture(scope="module")
def found(tpe: RegNetWorkload, job: JobDirectory) -> list[TrialRecord]:
    return searched(tpe, job)


def test_suggestions_are_models_of_the_space_and_no_two_are_the_same(
    found: list[TrialRecord], tpe: RegNetWorkload
) -> None:
    space, constraints = space_of(tpe)
    designs = [parameters_of_trial(trial, tpe.model) for trial in found]
    assert [trial.index for trial in found] == list(range(30))
    assert all(space.holds(parameters) for parameters in designs)
    assert len({parameters.design() for parameters in designs}) == 30
    assert max(trial.complexity["flops"] for trial in found) <= 1_500_000
    assert constraints.flops == (0, 1_500_000)
    for trial in found:
        axes = {name: space.axis(name) for name in AXES}
        assert all(axes[name].at(axes[name].count(trial.parameters[name])) == trial.parameters[name] for name in AXES)
    assert sum(sum(trial.rejected.values()) for trial in found) > 0  # of which none became a trial


def test_a_search_that_was_killed_suggests_what_it_would_have_suggested(
    found: list[TrialRecord], tpe: RegNetWorkload, job: JobDirectory
) -> None:
    assert searched(tpe, job, tuple(found[:17])) == found


def test_what_was_found_is_learned_from(found: list[TrialRecord]) -> None:
    first, suggested = ([error_of(trial) for trial in part] for part in (found[:10], found[10:]))
    assert statistics.median(suggested) < statistics.median(first)
    assert min(suggested) < min(first)


def test_trials_that_run_or_failed_are_not_suggested_again(
    found: list[TrialRecord], tpe: RegNetWorkload, job: JobDirectory
) -> None:
    states = ("running", "failed", "stopped", "pending")
    known = [replace(trial, state=state, epochs=2) for trial, state in zip(found[10:14], states, strict=True)]
    following = TpeSampler(tpe, job, 1, 10).suggest([*found[:10], *known])
    assert following is not None
    assert (following.index, following.state) == (14, "pending")
    assert following.parameters not in [trial.parameters for trial in found[:14]]


def test_a_damaged_record_is_suggested_anew_under_its_index(
    found: list[TrialRecord], tpe: RegNetWorkload, job: JobDirectory
) -> None:
    anew = TpeSampler(tpe, job, 1, 10).suggest(found[:12] + found[13:])
    assert anew is not None
    assert (anew.index, anew.seed) == (12, found[12].seed)


def test_a_space_without_a_further_model_ends_the_search(make_workload: MakeWorkload, job: JobDirectory) -> None:
    one = {"depth": 13, "w0": 24, "wa": 36.4, "wm": 2.5, "group_width": 8}
    alone = known_population(make_workload(trials=1, space=one, max_draws=50), in_channels=1, num_classes=10)
    workload = make_workload(trials=2, sampler="tpe", space=one, max_draws=50)
    trials = [measured(trial) for trial in fresh_trials(alone, workload, job)]
    sampler = TpeSampler(workload, job, 1, 10)
    assert sampler.suggest(trials) is None
    assert sampler.exhausted == "no further model of the space was found in search.max_draws: 50 draws"


def test_draws_are_counted_over_the_whole_search(
    found: list[TrialRecord], tpe: RegNetWorkload, job: JobDirectory
) -> None:
    assert tpe.search is not None
    dropped = sum(sum(trial.rejected.values()) for trial in found[:20])
    for more, suggests in ((0, False), (1_000, True)):
        search = tpe.search.model_copy(update={"max_draws": 70 + 10 + dropped + more})
        sampler = TpeSampler(tpe.model_copy(update={"search": search}), job, 1, 10, draws=70)
        assert sampler.draws_left(found[:20]) == more
        assert (sampler.suggest(found[:20]) is not None) == suggests
