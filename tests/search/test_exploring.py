"""Population based training as arithmetic: selection, perturbation, and what they depend on."""

import math

import pytest

from orchestrator.search.exploring import explored, first_values, generation_ends, sources
from orchestrator.spec.search import TrialScheduler

BOTH = {"lr": "0.01..1", "weight_decay": "1e-5..1e-3"}
ALL = frozenset(range(8))


def scheduler(**keys: object) -> TrialScheduler:
    return TrialScheduler.model_validate({"type": "pbt", "vary": BOTH, **keys})


def test_the_worst_copy_the_best_and_the_others_go_on_as_they_are() -> None:
    errors = dict(enumerate([0.5, 0.1, 0.8, 0.4, 0.2, 0.9, 0.3, 0.6]))
    found = [sources(errors, 2, seed, 0, ALL) for seed in range(20)]
    assert all(set(copies) == {2, 5} for copies in found)
    assert {source for copies in found for source in copies.values()} == {1, 4}


def test_who_copies_whom_is_a_function_of_seed_generation_and_trial() -> None:
    errors = dict(enumerate([0.5, 0.1, 0.8, 0.4, 0.2, 0.9, 0.3, 0.6]))
    first = sources(errors, 2, 1, 0, ALL)
    assert sources(dict(reversed(errors.items())), 2, 1, 0, ALL) == first
    assert len({tuple(sources(errors, 2, 1, generation, ALL).values()) for generation in range(20)}) > 1


def test_nobody_copies_what_is_no_better() -> None:
    assert sources(dict.fromkeys(range(8), 0.5), 2, 1, 0, ALL) == {}
    errors = dict(enumerate([0.5, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]))
    assert all(set(sources(errors, 2, seed, 0, ALL).values()) <= {0, 1} for seed in range(20))
    assert all(sources(errors, 1, seed, 0, ALL) == {7: 1} for seed in range(20))


def test_failed_trials_and_those_without_an_error_are_the_worst_however_many_they_are() -> None:
    errors = dict(enumerate([None, math.nan, 0.1, math.inf, 0.2, 0.05]))
    alive = frozenset({0, 1, 2, 3, 4})  # 5 failed
    found = sources(errors, 1, 1, 0, alive)
    assert found == {0: 2, 1: 2, 3: 2, 5: 2}
    assert sources(dict.fromkeys(range(4)), 1, 1, 0, ALL) == {}


def test_a_copied_value_is_multiplied_by_a_factor_or_drawn_anew_and_stays_in_its_range() -> None:
    values = {"lr": 0.1, "weight_decay": 9e-4}
    for generation in range(20):
        found = explored(values, scheduler(resample=0), 1, generation, 3)
        assert found["lr"] in (0.08, 0.12)
        assert found["weight_decay"] in (7.2e-4, 1e-3)
    anew = [explored(values, scheduler(resample=1), 1, generation, 3)["lr"] for generation in range(200)]
    assert all(0.01 <= value <= 1 for value in anew)
    assert 70 < sum(value < 0.1 for value in anew) < 130  # evenly over the logarithm
    assert explored(values, scheduler(), 1, 2, 3) == explored(values, scheduler(), 1, 2, 3)


def test_each_trial_begins_with_values_of_its_own_from_the_seed() -> None:
    vary = scheduler().vary
    assert vary is not None
    first = [first_values(vary, 1, index) for index in range(8)]
    assert first == [first_values(vary, 1, index) for index in range(8)]
    assert len({values["lr"] for values in first}) == 8
    assert first[0] != first_values(vary, 2, 0)


@pytest.mark.parametrize(
    ("epochs", "interval", "ends"), [(6, 2, [2, 4, 6]), (7, 2, [2, 4, 6, 7]), (2, 1, [1, 2]), (5, 4, [4, 5])]
)
def test_a_generation_ends_every_so_many_epochs_and_with_the_training(
    epochs: int, interval: int, ends: list[int]
) -> None:
    assert generation_ends(epochs, interval) == ends
