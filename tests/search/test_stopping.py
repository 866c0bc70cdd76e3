"""The rules that end a search, by numbers that can be checked by hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from orchestrator.search.records import TrialRecord
from orchestrator.search.stopping import StopRule, errors_in_order, ks_distance
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.search import EdfSettled, StopRules, TrialShare


def ended(errors: Sequence[float]) -> list[TrialRecord]:
    return [
        TrialRecord(index, "succeeded", {}, {}, seed=1, metrics={"val_error": error})
        for index, error in enumerate(errors)
    ]


def test_the_distance_of_two_edfs_is_their_widest_gap() -> None:
    assert ks_distance([0.1, 0.2], [0.1, 0.2]) == 0
    assert ks_distance([0.1, 0.2], [0.3, 0.4]) == 1
    # At 0.2 the one has risen to 2/2, the other to 2/4.
    assert ks_distance([0.1, 0.2], [0.1, 0.2, 0.3, 0.4]) == 0.5
    # At 0.1: 1/4 and 2/5; at 0.3: 3/4 and 4/5.
    assert ks_distance([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4, 0.1]) == pytest.approx(0.15)


def test_an_edf_has_settled_once_the_last_models_hardly_move_it() -> None:
    rule = StopRule(StopRules(edf_settled=EdfSettled(distance=0.2, last=2)), TrialShare(1, 0))
    assert not rule.met(ended([0.1, 0.2, 0.1]))  # as many models as the last ones come before them
    assert not rule.met(ended([0.1, 0.2, 0.3, 0.4]))  # moved by 0.5
    assert rule.met(ended([0.1, 0.4, 0.2, 0.3])) == ""  # at 0.1 by |1/2 - 1/4|
    # Of 5: {.1 .4 .2} and {.1 .4 .2 .3 .15}: at 0.1 by |1/3 - 1/5|, at 0.2 by |2/3 - 3/5|, at 0.3 by |2/3 - 4/5|
    assert rule.met(ended([0.1, 0.4, 0.2, 0.3, 0.15])) == "the last 2 of 5 models moved the EDF by no more than 0.133"


def test_what_has_settled_stays_so_whatever_comes_after() -> None:
    rule = StopRules(edf_settled=EdfSettled(distance=0.2, last=2))
    more = ended([0.1, 0.4, 0.2, 0.3, 0.15, 0.9, 0.9])
    assert "of 5 models" in StopRule(rule, TrialShare(1, 0)).met(more)


def test_an_edf_is_looked_at_in_the_order_of_the_sample_not_of_the_clock() -> None:
    trials = ended([0.1, 0.2, 0.3, 0.4, 0.5])
    trials[1] = replace(trials[1], state="failed", metrics={})
    trials[3] = replace(trials[3], state="running")
    assert errors_in_order(trials) == [0.1, 0.3]


def test_a_budget_counts_hours_times_what_a_trial_takes_over_all_runs() -> None:
    trials = [replace(trial, seconds=3600.0) for trial in ended([0.1, 0.2, 0.3])]
    trials[2] = replace(trials[2], state="running", seconds=1800.0)  # 2.5 hours in all
    half = TrialShare(cpus=2, gpus=0.5)
    assert not StopRule(StopRules(gpu_hours=1.3), half).met(trials)
    assert StopRule(StopRules(gpu_hours=1.25), half).met(trials) == "the budget of 1.25 GPU hours is used up"
    assert not StopRule(StopRules(core_hours=5.1), half).met(trials)
    assert StopRule(StopRules(core_hours=5), half).met(trials) == "the budget of 5 core hours is used up"


def test_a_search_without_rules_ends_with_its_last_trial(make_workload: Callable[..., RegNetWorkload]) -> None:
    assert StopRule.of(make_workload()).met(ended([0.1] * 100)) == ""
