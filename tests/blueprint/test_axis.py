"""One axis of a design space: where its values lie, and how they are spread."""

from __future__ import annotations

import math
import random
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.blueprint.axis import Axis, Scale

UNIFORM = st.floats(0, 1, exclude_max=True)
AXES = st.builds(
    lambda low, extra, quantum, scale: Axis(
        float(low * Decimal(quantum)), float((low + extra) * Decimal(quantum)), float(quantum), scale
    ),
    low=st.integers(1, 300),
    extra=st.integers(0, 300),
    quantum=st.sampled_from(["1", "8", "0.1", "0.001", "0.25"]),
    scale=st.sampled_from(["log", "linear"]),
)


@given(axis=AXES, uniform=UNIFORM)
def test_a_value_is_a_multiple_of_the_quantum_between_the_ends(axis: Axis, uniform: float) -> None:
    value = axis.value(uniform)
    assert axis.low <= value <= axis.high
    assert Decimal(str(value)) % Decimal(str(axis.quantum)) == 0


@given(axis=AXES, one=UNIFORM, other=UNIFORM)
def test_values_rise_with_the_random_number(axis: Axis, one: float, other: float) -> None:
    low, high = (axis.value(u) for u in sorted((one, other)))
    if axis.scale == "linear":
        assert low <= high
    else:
        assert low >= high  # the logarithm is drawn from its upper end, as pycls does


@given(axis=AXES)
def test_both_ends_can_be_drawn(axis: Axis) -> None:
    drawn = {axis.value(0.0), axis.value(math.nextafter(1.0, 0.0))}
    assert drawn == {axis.low, axis.high}


@pytest.mark.parametrize(
    ("uniform", "value"), [(0.0, 12.0), (0.0588, 12.0), (0.0589, 13.0), (0.5, 20.0), (0.999, 28.0)]
)
def test_linear_rounds_down_by_hand(uniform: float, value: float) -> None:
    # 12 + 17 u, rounded down: 13 from u = 1/17 = 0.0588 on.
    assert Axis(12, 28, 1, "linear").value(uniform) == value


@pytest.mark.parametrize(("uniform", "value"), [(0.0, 64.0), (0.25, 32.0), (0.49, 24.0), (0.5, 16.0), (0.75, 8.0)])
def test_log_rounds_up_by_hand(uniform: float, value: float) -> None:
    # From (8 - min(8, 4), 64] = (4, 64]: 64 / 16^u is 64, 32, 16.4, 16, 8, give or take the last bit of exp.
    nudged = min(uniform + 1e-12, 1.0) if uniform else 0.0
    assert Axis(8, 64, 8).value(nudged) == value


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_draws_are_spread_as_the_scale_says(scale: Scale) -> None:
    axis, generator = Axis(1, 4, 1, scale), random.Random(5)
    counts = Counter(axis.value(generator.random()) for _ in range(20_000))
    edges = [0.5, 1, 2, 3, 4]
    share = [math.log(b / a) / math.log(8) if scale == "log" else 0.25 for a, b in pairwise(edges)]
    for value, expected in zip((1.0, 2.0, 3.0, 4.0), share, strict=True):
        assert counts[value] / 20_000 == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(
    ("axis", "fault"),
    [
        (Axis(8, 64, 0), "positive step"),
        (Axis(8, math.inf, 8), "finite"),
        (Axis(64, 8, 8), "empty"),
        (Axis(0, 8, 8), "starts at 0"),
        (Axis(10, 64, 8), "10, which is no multiple"),
        (Axis(2, 2.5005, 0.001), "2.5005, which is no multiple"),
    ],
)
def test_a_faulty_axis_says_what_is_wrong(axis: Axis, fault: str) -> None:
    assert any(fault in found for found in axis.faults())


def test_decimal_steps_divide_decimal_ends() -> None:
    assert not list(Axis(8, 256, 0.1).faults())
