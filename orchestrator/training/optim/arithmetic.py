"""Elementwise updates in operations that round once each: the same bits wherever an element lies."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Tensors = list[torch.Tensor]


def laid_like(gradients: Sequence[torch.Tensor], parameters: Sequence[torch.Tensor]) -> Tensors:
    """The gradients with the strides of their parameters: fused kernels read all as they lie in memory."""
    return [
        gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]


def lie_alike(parameters: Sequence[torch.Tensor], state: Sequence[torch.Tensor]) -> bool:
    """Whether each tensor of the state has the strides of its parameter."""
    return all(kept.stride() == parameter.stride() for kept, parameter in zip(state, parameters, strict=True))


def decayed(gradients: Tensors, parameters: Tensors, weight_decay: float) -> Tensors:
    """Gradients plus weight_decay times parameters, as new tensors where there is any decay."""
    if not weight_decay:
        return gradients
    sums = list(torch._foreach_mul(parameters, weight_decay))
    torch._foreach_add_(sums, gradients)
    return sums


def factors(values: torch.Tensor, like: torch.Tensor) -> Tensors:
    """One number () for each of `values` (n,), in the type and on the device of `like`."""
    return list(values.to(device=like.device, dtype=like.dtype).unbind())
