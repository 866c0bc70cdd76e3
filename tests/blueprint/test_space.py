"""Populations sampled from a design space."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.axis import Axis
from orchestrator.blueprint.complexity import complexity
from orchestrator.blueprint.space import Constraints, DesignSpace, Population, sample_population

SMALL = DesignSpace(
    depth=Axis(4, 12, 1, "linear"),
    w0=Axis(16, 64, 8),
    wa=Axis(8, 64, 0.1),
    wm=Axis(2, 3, 0.001),
    group_width=Axis(8, 32, 8),
    stem="cifar",
    stem_width=16,
)
SIZES = {"image_size": 16, "in_channels": 1, "num_classes": 10}
FLOPS = Constraints(flops=(1_000_000, 3_000_000))
TINY = DesignSpace(
    depth=Axis(4, 4, 1), w0=Axis(8, 8, 8), wa=Axis(16, 24, 8), wm=Axis(2, 2, 1), group_width=Axis(8, 8, 8)
)


def sample(count: int = 24, seed: int = 1, constraints: Constraints = FLOPS, **more: int) -> Population:
    return sample_population(SMALL, constraints, count, seed, **SIZES, **more)


def test_the_same_seed_gives_the_same_population() -> None:
    assert sample(seed=7) == sample(seed=7)


def test_another_seed_gives_another_population() -> None:
    assert sample(seed=7).designs != sample(seed=8).designs


def test_a_larger_population_only_appends() -> None:
    assert sample(count=30).designs[:10] == sample(count=10).designs


def test_the_first_members_are_the_same_on_every_machine() -> None:
    first = [m.parameters for m in sample(count=3).designs]
    assert [(p.depth, p.w0, p.wa, p.wm, p.group_width) for p in first] == [
        (10, 16, 21.7, 2.389, 16),
        (10, 16, 20.5, 2.744, 8),
        (11, 24, 40.2, 2.306, 16),
    ]


def test_members_are_all_different_and_numbered() -> None:
    designs = sample().designs
    assert len({member.design.stages for member in designs}) == 24
    assert [member.index for member in designs] == list(range(24))


def test_members_lie_on_the_axes_and_have_four_stages() -> None:
    for member in sample().designs:
        p = member.parameters
        assert 4 <= p.depth <= 12
        assert p.w0 % 8 == 0
        assert 16 <= p.w0 <= 64
        assert p.wa == round(p.wa, 1)
        assert p.wm == round(p.wm, 3)
        assert p.group_width in (8, 16, 24, 32)
        assert len(member.design.stages) == 4


def test_a_members_complexity_is_that_of_its_design() -> None:
    for member in sample(count=5).designs:
        assert member.design == member.parameters.design()
        assert member.complexity == complexity(member.design, **SIZES)


def test_all_constraints_hold_at_once() -> None:
    limits = Constraints(flops=(1_000_000, 3_000_000), params=(100_000, 600_000), activations=(15_000, 30_000))
    for member in sample(constraints=limits).designs:
        assert 1_000_000 <= member.complexity.flops <= 3_000_000
        assert 100_000 <= member.complexity.params <= 600_000
        assert 15_000 <= member.complexity.activations <= 30_000


def test_the_ends_of_a_constraint_are_allowed() -> None:
    cost = sample(count=1).designs[0].complexity
    exact = Constraints(flops=(cost.flops, cost.flops), params=(cost.params, cost.params))
    assert exact.broken_by(cost) is None


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        (Constraints(flops=(10**9, 10**10)), "flops_low"),
        (Constraints(params=(0, 10)), "params_high"),
        (Constraints(activations=(10**9, 10**9)), "activations_low"),
    ],
)
def test_a_broken_constraint_has_a_name(constraints: Constraints, reason: str) -> None:
    assert constraints.broken_by(sample(count=1).designs[0].complexity) == reason


def test_every_draw_is_a_member_or_has_one_reason() -> None:
    population = sample()
    assert population.draws == len(population.designs) + sum(population.rejected_by.values())
    assert population.rejected_by["invalid"] > 0


def test_a_family_with_squeeze_and_excitation_has_it() -> None:
    space = DesignSpace(family="regnety")
    found = sample_population(space, Constraints(), 1, 0, image_size=32, in_channels=3, num_classes=10)
    assert found.designs[0].design.se_ratio == 0.25


def test_another_number_of_stages_can_be_wanted() -> None:
    space = DesignSpace(depth=Axis(6, 16, 1, "linear"), stages=2)
    found = sample_population(space, Constraints(), 5, 0, image_size=32, in_channels=3, num_classes=10)
    assert {len(member.design.stages) for member in found.designs} == {2}


def test_duplicates_are_dropped_by_architecture_and_counted() -> None:
    # Three slopes that round to the same widths: one architecture in the whole space.
    space = DesignSpace(
        depth=Axis(8, 8, 1), w0=Axis(8, 8, 8), wa=Axis(8, 8.2, 0.1), wm=Axis(2, 2, 1), group_width=Axis(8, 8, 8)
    )
    with pytest.raises(UsageError, match="duplicate") as caught:
        sample_population(space, Constraints(), 2, 0, **SIZES, max_draws=200)
    assert "only 1 of 2" in caught.value.message
    assert "widen its axes" in caught.value.hint


def test_an_impossible_constraint_is_named_with_what_the_space_holds() -> None:
    with pytest.raises(UsageError, match=r"flops_high drops most") as caught:
        sample(constraints=Constraints(flops=(1, 1000)), max_draws=500)
    assert "only 0 of 24 models found in 500 draws" in caught.value.message
    assert "raise the upper end of constraints.flops (models of this space have " in caught.value.hint


def test_a_space_without_valid_models_says_so() -> None:
    with pytest.raises(UsageError, match="number of stages"):
        sample_population(TINY, Constraints(), 1, 0, **SIZES, max_draws=50)


def test_faults_of_all_axes_are_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"w0: ends at 20.*wm: .*above 1.*") as caught:
        DesignSpace(w0=Axis(20, 64, 8), wm=Axis(1, 3, 0.001), depth=Axis(4, 8, 0.5))
    assert "depth: its step 0.5 is not a whole number" in caught.value.message


def test_the_package_needs_neither_torch_nor_numpy() -> None:
    modules = ("axis", "complexity", "cost", "regnet", "schedule", "space")
    code = "import sys\n" + "".join(f"import orchestrator.blueprint.{m}\n" for m in modules)
    code += "print([m for m in ('torch', 'numpy', 'pydantic', 'orchestrator.spec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
