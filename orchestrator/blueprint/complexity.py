"""Closed forms of what a model costs: multiply-adds, parameters and activations, without building it.

The definitions are those of "Designing Network Design Spaces" (arXiv 2003.13678, section 3.1 and appendix) as its
authors' code (pycls) counts them, so that figures can be compared:

- flops: multiply-adds of convolutions and of the linear layer for one image, plus one for each of their biases;
  normalisation, activation functions, pooling and additions count nothing;
- params: all that is learned, normalisation included (scale and shift, not its running statistics);
- activations: elements of the outputs of convolutions and of the linear layer (the two convolutions of
  squeeze-and-excitation, on 1x1 maps, included).
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.regnet import AnyNetDesign, Stage


@dataclass(frozen=True)
class Complexity:
    """What a forward pass of one image costs.

    Attributes:
        flops: multiply-adds of convolutions and linear layers, plus their biases.
        params: learned numbers.
        activations: elements of the outputs of convolutions and linear layers.
    """

    flops: int = 0
    params: int = 0
    activations: int = 0

    def __add__(self, other: Complexity) -> Complexity:
        return Complexity(self.flops + other.flops, self.params + other.params, self.activations + other.activations)

    def __mul__(self, times: int) -> Complexity:
        return Complexity(self.flops * times, self.params * times, self.activations * times)


def strided(size: int, stride: int) -> int:
    """Side of the output of an odd kernel with padding (k - 1) / 2, in pixels."""
    return (size - 1) // stride + 1


def convolution(
    inputs: int, outputs: int, kernel: int, side: int, *, groups: int = 1, bias: bool = False
) -> Complexity:
    """A convolution whose output is `side` x `side`; a bias counts once a channel, as in pycls."""
    weights = kernel * kernel * inputs * outputs // groups
    biases = outputs if bias else 0
    return Complexity(weights * side * side + biases, weights + biases, outputs * side * side)


def linear(inputs: int, outputs: int) -> Complexity:
    """A linear layer with bias."""
    weights = inputs * outputs
    return Complexity(weights + outputs, weights + outputs, outputs)


def normalisation(channels: int) -> Complexity:
    """Scale and shift of a batch norm."""
    return Complexity(params=2 * channels)


def complexity(
    design: AnyNetDesign, *, image_size: int = 224, in_channels: int = 3, num_classes: int = 1000
) -> Complexity:
    """What a design costs on images of shape (in_channels, image_size, image_size).

    Raises:
        UsageError: where a size is not positive.
    """
    if min(image_size, in_channels, num_classes) < 1:
        raise UsageError(
            f"image_size {image_size}, in_channels {in_channels} and num_classes {num_classes} must all be positive"
        )
    side = strided(image_size, design.stem.stride)
    width = design.stem.width
    total = convolution(in_channels, width, 3, side) + normalisation(width)
    for stage in design.stages:
        total += _block(stage, design.se_width(width), width, side, stage.stride)
        side, width = strided(side, stage.stride), stage.width
        total += _block(stage, design.se_width(width), width, side, 1) * (stage.depth - 1)
    return total + linear(width, num_classes)


def _block(stage: Stage, se_width: int, inputs: int, side: int, stride: int) -> Complexity:
    """A residual bottleneck block: 1x1, grouped 3x3 with the stride, 1x1; a projection where the shape changes."""
    out, middle, outputs = strided(side, stride), stage.bottleneck_width, stage.width
    total = convolution(inputs, middle, 1, side) + normalisation(middle)
    total += convolution(middle, middle, 3, out, groups=stage.groups) + normalisation(middle)
    total += convolution(middle, outputs, 1, out) + normalisation(outputs)
    if se_width:
        total += convolution(middle, se_width, 1, 1, bias=True) + convolution(se_width, middle, 1, 1, bias=True)
    if inputs != outputs or stride != 1:
        total += convolution(inputs, outputs, 1, out) + normalisation(outputs)
    return total
