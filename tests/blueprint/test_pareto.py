import math
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.blueprint.outcome import choose_best, front, fronts, measured
from orchestrator.blueprint.pareto import pareto_front

FEW = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5])
"""Values that coincide often."""
NUMBERS = st.one_of(FEW, st.floats(allow_nan=True, allow_infinity=True))
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)
Point = tuple[float, float]


def dominates(one: Point, other: Point) -> bool:
    """The definition: nowhere worse, somewhere better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


@given(POINTS)
def test_the_front_is_what_no_point_dominates(points: list[Point]) -> None:
    numbers = [i for i, point in enumerate(points) if not any(map(math.isnan, point))]
    expected = {i for i in numbers if not any(dominates(points[j], points[i]) for j in numbers)}
    found = pareto_front(points)
    assert set(found) == expected
    assert len(found) == len(expected)


@given(POINTS)
def test_along_the_front_cost_rises_and_error_falls(points: list[Point]) -> None:
    found = pareto_front(points)
    on_it = [points[i] for i in found]
    assert on_it == sorted(on_it)
    assert [error for _, error in on_it] == sorted((error for _, error in on_it), reverse=True)
    assert all(i < j for i, j in pairwise(found) if points[i] == points[j])


def test_equal_models_are_both_kept_and_what_costs_more_for_nothing_is_not() -> None:
    assert pareto_front([(2, 0.1), (1, 0.2), (1, 0.2), (3, 0.1), (1, 0.3)]) == [1, 2, 0]


@dataclass(frozen=True)
class Member:
    index: int
    state: str = "succeeded"
    complexity: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""


def member(index: int, error: float, flops: float, state: str = "succeeded") -> Member:
    return Member(index, state, {"flops": flops}, {"val_error": error})


def test_only_trials_that_ended_with_an_error_count() -> None:
    trials = [
        member(0, 0.5, 1),
        member(1, 0.1, 1, "running"),
        member(2, 0.2, 2, "stopped"),
        member(3, 0.0, 1, "failed"),
        member(4, math.nan, 1),
        Member(5, "succeeded", {"flops": 1}),
        Member(6, "stopped", {"flops": 1}, {"val_error": 0.1}, "a rule ended the search"),
    ]
    assert [trial.index for trial in measured(trials)] == [0, 2]
    assert [trial.index for trial in front(trials, "flops")] == [0, 2]
    best = choose_best(trials)
    assert best is not None
    assert best.index == 0  # the other was ended early


def test_there_are_fronts_against_what_is_known_alone() -> None:
    assert list(fronts([member(0, 0.5, 1), member(1, 0.5, 1)])) == ["flops"]
    assert fronts([]) == {}


def test_a_server_without_the_work_planes_libraries_can_tell_them() -> None:
    heavy = ("torch", "numpy", "ray", "matplotlib", "pyarrow")
    code = "import sys, orchestrator.control.findings;"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
