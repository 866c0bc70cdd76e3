"""Counts what a built module really costs, layer by layer; the proof of the blueprint's closed forms."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from orchestrator.blueprint.complexity import Complexity


def measure(model: nn.Module, image_shape: tuple[int, int, int]) -> Complexity:
    """Run one image through the model and count at every convolution and linear layer.

    Nothing is computed where the model lies on torch's meta device. The definitions are those of
    `orchestrator.blueprint.complexity`. The model is left as it was.

    Args:
        model: on one device.
        image_shape: (channels, height, width) of the image.
    """
    counted: list[tuple[int, int]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counted.append((_flops(layer, output), output.numel()))

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(note) for layer in layers]
    training = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *image_shape, device=device))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    params = sum(parameter.numel() for parameter in model.parameters())
    return Complexity(sum(f for f, _ in counted), params, sum(a for _, a in counted))


def _flops(layer: nn.Module, output: Tensor) -> int:
    """Multiply-adds for one image; a bias counts once a channel, as in pycls."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    if isinstance(layer, nn.Linear):
        inputs = layer.in_features
    else:
        inputs = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    return output.numel() * inputs + (layer.bias.numel() if layer.bias is not None else 0)
