"""Non-negative least squares: against every choice of columns, with priors, and with outliers."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.scheduling.estimates.regression import Prior, fit, nnls


def solve(gram: list[list[float]], target: list[float]) -> list[float]:
    """By elimination with pivots."""
    size = len(target)
    rows = [[*gram[i], target[i]] for i in range(size)]
    for column in range(size):
        best = max(range(column, size), key=lambda r: abs(rows[r][column]))
        rows[column], rows[best] = rows[best], rows[column]
        for other in range(size):
            if other != column:
                factor = rows[other][column] / rows[column][column]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[column], strict=True)]
    return [rows[i][size] / rows[i][i] for i in range(size)]


def loss(gram: list[list[float]], target: list[float], x: list[float]) -> float:
    quadratic = sum(x[i] * gram[i][j] * x[j] for i in range(len(x)) for j in range(len(x)))
    return quadratic / 2 - sum(t * v for t, v in zip(target, x, strict=True))


def every_choice(gram: list[list[float]], target: list[float]) -> float:
    """The least loss over all sets of columns whose solution is not negative."""
    best, size = 0.0, len(target)
    for count in range(1, size + 1):
        for chosen in itertools.combinations(range(size), count):
            part = solve([[gram[i][j] for j in chosen] for i in chosen], [target[i] for i in chosen])
            if min(part) >= 0:
                x = [0.0] * size
                for place, value in zip(chosen, part, strict=True):
                    x[place] = value
                best = min(best, loss(gram, target, x))
    return best


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_it_is_the_best_of_all_choices_of_columns(seed: int, size: int) -> None:
    generator = random.Random(seed)
    rows = [[generator.gauss(0, 1) for _ in range(size)] for _ in range(size + 3)]
    gram = [[sum(r[i] * r[j] for r in rows) + 0.05 * (i == j) for j in range(size)] for i in range(size)]
    target = [generator.gauss(0, 3) for _ in range(size)]
    found = nnls(gram, target)
    assert min(found) >= 0
    assert loss(gram, target, found) == pytest.approx(every_choice(gram, target), abs=1e-5)


def planted(count: int, true: tuple[float, ...], seed: int = 3) -> tuple[list[list[float]], list[float]]:
    generator = random.Random(seed)
    rows = [[math.exp(generator.gauss(0, 1.5)) for _ in true] for _ in range(count)]
    return rows, [sum(c * x for c, x in zip(true, row, strict=True)) for row in rows]


def test_without_measurements_it_is_the_prior() -> None:
    assert fit([], [], [], Prior((1.0, 2.0))) == (1.0, 2.0)


def test_planted_coefficients_are_found_from_a_prior_that_is_far_off() -> None:
    true = (3.0, 0.5, 7.0)
    rows, targets = planted(60, true)
    assert fit(rows, targets, [1.0] * 60, Prior((1.0, 1.0, 1.0))) == pytest.approx(true, rel=0.02)


def test_a_column_without_a_part_in_it_gets_nothing_or_next_to_it() -> None:
    rows, targets = planted(60, (3.0, 0.0, 7.0))
    found = fit(rows, targets, [1.0] * 60, Prior((1.0, 1.0, 1.0)))
    assert found[1] < 0.05


def test_one_measurement_moves_all_coefficients_towards_it() -> None:
    [scaled] = [fit([[1.0, 1.0]], [20.0], [1.0], Prior((1.0, 1.0)))]
    assert 5 < sum(scaled) <= 20.5
    assert scaled[0] == pytest.approx(scaled[1])


def test_outliers_do_not_move_it_far() -> None:
    true = (3.0, 0.5, 7.0)
    rows, targets = planted(40, true)
    wild = [t * (20 if i % 10 == 0 else 1) for i, t in enumerate(targets)]
    found = fit(rows, wild, [1.0] * 40, Prior((1.0, 1.0, 1.0)))
    fitted = [sum(c * x for c, x in zip(found, row, strict=True)) for row in rows]
    errors = sorted(abs(math.log(f / t)) for f, t in zip(fitted, targets, strict=True))
    assert errors[len(errors) // 2] < 0.15


def test_what_counts_less_pulls_less() -> None:
    prior = Prior((1.0,))
    light = fit([[1.0], [1.0]], [1.0, 3.0], [1.0, 0.1], prior)[0]
    heavy = fit([[1.0], [1.0]], [1.0, 3.0], [0.1, 1.0], prior)[0]
    assert light < heavy
