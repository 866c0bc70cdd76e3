"""Closed forms of complexity against sums by hand."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.complexity import Complexity, complexity, convolution, linear
from orchestrator.blueprint.regnet import AnyNetDesign, Stage, Stem, preset


def one_block(se_ratio: float = 0.0) -> AnyNetDesign:
    return AnyNetDesign(Stem("cifar", 4), (Stage(8, 1, 2, 1.0, 4),), se_ratio)


def test_a_convolution_counts_a_multiply_add_for_each_weight_and_place() -> None:
    assert convolution(4, 8, 3, 5, groups=2) == Complexity(flops=144 * 25, params=144, activations=8 * 25)


def test_a_bias_counts_once_a_channel() -> None:
    assert convolution(4, 8, 1, 5, bias=True) == Complexity(flops=32 * 25 + 8, params=40, activations=200)


def test_the_linear_layers_bias_counts_in_flops() -> None:
    assert linear(10, 3) == Complexity(flops=33, params=33, activations=3)


def test_one_block_by_hand() -> None:
    # 4x4 image of 1 channel. Stem 3x3 1->4 on 4x4; 1x1 4->8 on 4x4; 3x3 8->8 in 2 groups on 2x2; 1x1 8->8 and the
    # projection 4->8 on 2x2; linear 8->2.
    flops = 36 * 16 + 32 * 16 + 288 * 4 + 64 * 4 + 32 * 4 + 18
    params = (36 + 8) + (32 + 16) + (288 + 16) + (64 + 16) + (32 + 16) + 18
    activations = 4 * 16 + 8 * 16 + 8 * 4 + 8 * 4 + 8 * 4 + 2
    found = complexity(one_block(), image_size=4, in_channels=1, num_classes=2)
    assert found == Complexity(flops, params, activations)


def test_squeeze_and_excitation_has_a_share_of_the_blocks_input_width() -> None:
    plain = complexity(one_block(), image_size=4, in_channels=1, num_classes=2)
    squeezed = complexity(one_block(se_ratio=0.5), image_size=4, in_channels=1, num_classes=2)
    # 8 -> 2 -> 8 with biases, on 1x1 maps.
    assert (squeezed.flops - plain.flops, squeezed.params - plain.params) == (42, 42)
    assert squeezed.activations - plain.activations == 10


def test_an_odd_image_size_is_rounded_up_by_each_stride() -> None:
    design = preset("regnetx_200mf").design()
    assert complexity(design, image_size=223).flops == complexity(design, image_size=224).flops


@pytest.mark.parametrize("size", [{"image_size": 0}, {"in_channels": -1}, {"num_classes": 0}])
def test_sizes_must_be_positive(size: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="positive"):
        complexity(one_block(), **size)
