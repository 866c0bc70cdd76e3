import numpy as np
import pytest

from orchestrator.blueprint.edf import Edf
from orchestrator.search.edf import edf_band, likely_best


def test_the_band_holds_the_edf_and_is_a_function_of_the_seed() -> None:
    edf = Edf.of(np.linspace(0.05, 0.5, 40).tolist())
    band, again, other = (edf_band(edf, resamples=500, seed=seed) for seed in (1, 1, 2))
    assert band is not None
    assert again is not None
    assert other is not None
    at, above = edf.steps()
    assert tuple(band.at) == at
    assert np.all(band.low <= above)
    assert np.all(above <= band.high)
    assert band.low.tolist() == again.low.tolist()
    assert band.low.tolist() != other.low.tolist()


def test_the_band_has_the_width_that_the_binomial_distribution_says() -> None:
    band = edf_band(Edf.of(np.arange(100) / 100), resamples=4000, seed=0)
    assert band is not None
    middle = 49  # F just above it is 1/2: a binomial proportion of 100, whose standard deviation is 0.05
    assert band.low[middle] == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)
    assert band.high[middle] == pytest.approx(0.5 + 1.96 * 0.05, abs=0.015)


def test_no_resamples_make_no_band() -> None:
    assert edf_band(Edf.of([0.1, 0.2]), resamples=0, seed=0) is None


def test_the_bootstrap_selects_the_pair_with_the_lowest_error_of_a_quarter() -> None:
    # Of 8 pairs, 2 are drawn with replacement: rank r (0 = best) is selected with probability ((8-r)^2 - (7-r)^2) / 64,
    # that is 15, 13, 11, 9, 7, 5, 3, 1 sixty-fourths; half is reached at rank 2.
    values, errors = list(range(8)), [0.1 + 0.01 * i for i in range(8)]
    found = likely_best(values, errors, seed=3)
    assert found.median == 2
    assert found.low == 0
    assert found.high == 6  # rank 7 has 1.6 %, less than the upper tail of 2.5 %


def test_the_bootstrap_is_a_function_of_its_seed() -> None:
    values, errors = list(np.arange(50.0)), [((i * 37) % 50) / 50 for i in range(50)]
    assert likely_best(values, errors, seed=1) == likely_best(values, errors, seed=1)


def test_a_parameter_that_decides_the_error_has_a_narrow_interval() -> None:
    values = [float(i) for i in range(100)]
    found = likely_best(values, [abs(v - 40) for v in values], seed=0)
    assert found.low <= 40 <= found.high
    assert found.high - found.low < 20


def test_one_model_is_its_own_interval() -> None:
    assert likely_best([7.0], [0.5], seed=0).median == 7


def test_pairs_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        likely_best([1.0, 2.0], [0.5], seed=0)
