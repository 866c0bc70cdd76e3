from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.blueprint.edf import Edf

ERRORS = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_the_edf_is_the_fraction_of_models_with_a_lower_error() -> None:
    edf = Edf.of([0.3, 0.1, 0.2, 0.2])
    assert [edf(e) for e in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.31)] == [0, 0, 0.25, 0.25, 0.75, 0.75, 1]


def test_the_edf_rises_once_for_each_different_error() -> None:
    at, above = Edf.of([0.3, 0.1, 0.2, 0.2]).steps()
    assert at == (0.1, 0.2, 0.3)
    assert above == (0.25, 0.75, 1.0)


@given(ERRORS)
def test_quartiles_are_those_of_numpy(errors: list[float]) -> None:
    edf = Edf.of(errors)
    numbers = edf.numbers()
    expected = np.quantile(errors, [0, 0.25, 0.5, 0.75, 1])
    assert [numbers[name] for name in list(numbers)[:5]] == pytest.approx(expected.tolist())
    assert numbers["mean"] == pytest.approx(np.mean(errors))


@given(ERRORS)
def test_thresholds_rise_evenly_from_above_the_best_to_above_the_worst(errors: list[float]) -> None:
    edf = Edf.of(errors)
    at = edf.thresholds()
    if max(errors) - min(errors) < 1e-9:
        assert at == ()
        return
    assert 2 <= len(at) <= 7
    assert edf.below(at[0]) > 0
    assert edf.below(at[-1]) == len(errors)
    steps = [after - before for before, after in pairwise(at)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)


def test_thresholds_are_round_numbers() -> None:
    edf = Edf.of([0.231, 0.29, 0.31, 0.318])
    assert edf.thresholds() == (0.24, 0.26, 0.28, 0.3, 0.32)
    assert [edf.below(at) for at in edf.thresholds()] == [1, 1, 1, 2, 4]


def test_no_models_have_no_quantiles() -> None:
    with pytest.raises(ValueError, match="no models"):
        Edf.of([]).numbers()
