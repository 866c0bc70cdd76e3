"""RegNet parameters: widths, groups, published models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.complexity import Complexity, complexity
from orchestrator.blueprint.regnet import PRESETS, RegNetParameters, fit_groups, preset

# The authors' model zoo as it is printed: flops (B), params (M), activations (M).
ZOO = {
    "regnetx_200mf": ("0.2", "2.7", "2.2"),
    "regnetx_400mf": ("0.4", "5.2", "3.1"),
    "regnetx_600mf": ("0.6", "6.2", "4.0"),
    "regnetx_800mf": ("0.8", "7.3", "5.1"),
    "regnetx_1.6gf": ("1.6", "9.2", "7.9"),
    "regnetx_3.2gf": ("3.2", "15.3", "11.4"),
    "regnetx_4.0gf": ("4.0", "22.1", "12.2"),
    "regnetx_6.4gf": ("6.5", "26.2", "16.4"),
    "regnetx_8.0gf": ("8.0", "39.6", "14.1"),
    "regnetx_12gf": ("12.1", "46.1", "21.4"),
    "regnetx_16gf": ("15.9", "54.3", "25.5"),
    "regnetx_32gf": ("31.7", "107.8", "36.3"),
    "regnety_200mf": ("0.2", "3.2", "2.2"),
    "regnety_400mf": ("0.4", "4.3", "3.9"),
    "regnety_600mf": ("0.6", "6.1", "4.3"),
    "regnety_800mf": ("0.8", "6.3", "5.2"),
    "regnety_1.6gf": ("1.6", "11.2", "8.0"),
    "regnety_3.2gf": ("3.2", "19.4", "11.3"),
    "regnety_4.0gf": ("4.0", "20.6", "12.3"),
    "regnety_6.4gf": ("6.4", "30.6", "16.4"),
    "regnety_8.0gf": ("8.0", "39.2", "18.0"),
    "regnety_12gf": ("12.1", "51.8", "21.4"),
    "regnety_16gf": ("15.9", "83.6", "23.0"),
    "regnety_32gf": ("32.3", "145.0", "30.3"),
}


def test_every_published_model_is_in_the_zoo() -> None:
    assert set(PRESETS) == set(ZOO)


@pytest.mark.parametrize("name", PRESETS)
def test_a_published_model_has_the_figures_of_the_model_zoo(name: str) -> None:
    cost = complexity(preset(name).design())
    assert (
        f"{cost.flops / 1e9:.1f}",
        f"{cost.params / 1e6:.1f}",
        f"{cost.activations / 1e6:.1f}",
    ) == ZOO[name]


def test_regnetx_400mf_has_the_exact_figures_of_the_authors_code() -> None:
    assert complexity(preset("regnetx_400mf").design()) == Complexity(397_678_568, 5_157_512, 3_143_272)


@pytest.mark.parametrize(("name", "params"), [("regnetx_200mf", 2_684_792), ("regnety_400mf", 4_344_144)])
def test_a_published_model_has_the_exact_number_of_parameters(name: str, params: int) -> None:
    assert complexity(preset(name).design()).params == params


def test_regnetx_400mf_has_the_published_stages() -> None:
    design = preset("regnetx_400mf").design()
    assert (design.depths, design.widths) == ((1, 2, 7, 12), (32, 64, 160, 384))
    assert {stage.group_width for stage in design.stages} == {16}


def test_a_published_name_is_accepted_as_it_is_printed() -> None:
    assert preset("RegNetY-4.0GF") == preset("regnety_4.0gf")


def test_an_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match=r"did you mean .*regnetx_400mf") as caught:
        preset("regnetx_40mf")
    assert "regnetx_40mf" in caught.value.message


def test_a_preset_takes_another_stem() -> None:
    stem = preset("regnetx_200mf", stem="cifar", stem_width=16).design().stem
    assert (stem.kind, stem.width, stem.stride) == ("cifar", 16, 1)


def test_widths_follow_the_quantised_linear_rule_by_hand() -> None:
    # u = 24, 60, 96, 132; u / w0 = 1, 2.5, 4, 5.5; log2 = 0, 1.32, 2, 2.46 -> exponents 0, 1, 2, 2.
    linear = RegNetParameters(depth=4, w0=24, wa=36, wm=2, group_width=8).linear_widths()
    assert (linear.widths, linear.depths, linear.levels) == ((24, 48, 96), (1, 1, 2), 3)


def test_a_width_halfway_between_two_multiples_goes_to_the_even_one() -> None:
    # Second width: 8 * 2.5 = 20, halfway between 16 and 24; 20 / 8 = 2.5 rounds to 2.
    assert RegNetParameters(depth=2, w0=8, wa=12, wm=2.5, group_width=8).linear_widths().widths == (8, 16)


def test_a_level_that_is_left_out_shows() -> None:
    # u / w0 = 1, 9: exponents 0 and 3 of 2.
    linear = RegNetParameters(depth=2, w0=8, wa=64, wm=2, group_width=8).linear_widths()
    assert (len(linear.widths), linear.levels) == (2, 4)


@pytest.mark.parametrize(
    ("width", "ratio", "group", "expected"),
    [
        (24, 1.0, 16, (32, 16)),  # 1.5 groups -> 2
        (40, 1.0, 16, (32, 16)),  # 2.5 groups -> 2, half to even
        (8, 1.0, 16, (8, 8)),  # the group is at most the bottleneck
        (64, 0.25, 24, (64, 16)),  # the bottleneck is 16
        (56, 2.0, 24, (60, 24)),  # 112 of 24 -> 4.67 groups -> 5 = 120, and 120 / 2 = 60
        (3, 0.25, 8, (4, 1)),  # a bottleneck below one channel is one
    ],
)
def test_widths_are_fitted_to_groups(width: int, ratio: float, group: int, expected: tuple[int, int]) -> None:
    assert fit_groups(width, ratio, group) == expected


@given(
    depth=st.integers(1, 40),
    w0=st.integers(1, 40).map(lambda n: 8 * n),
    wa=st.floats(0, 300),
    wm=st.floats(1.01, 4),
    group_width=st.integers(1, 200),
    ratio=st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0]),
)
def test_every_design_can_be_built(depth: int, w0: int, wa: float, wm: float, group_width: int, ratio: float) -> None:
    design = RegNetParameters(depth, w0, wa, wm, group_width, ratio).design()
    assert sum(design.depths) == depth
    assert list(design.widths) == sorted(design.widths)
    for stage in design.stages:
        assert stage.bottleneck_width % stage.group_width == 0
        assert stage.groups >= 1
        assert stage.bottleneck_width == stage.width * stage.bottleneck_ratio


def test_wrong_parameters_are_named_all_at_once() -> None:
    with pytest.raises(UsageError, match=r"depth is 0.*w0 is 20.*wa is -1.*wm is 1.*group_width is 0") as caught:
        RegNetParameters(depth=0, w0=20, wa=-1.0, wm=1.0, group_width=0)
    assert caught.value.hint


def test_a_bottleneck_that_divides_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"bottleneck_ratio is 0\.7"):
        RegNetParameters(depth=1, w0=8, wa=8, wm=2, group_width=8, bottleneck_ratio=0.7)
