"""Gradients no longer than a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

_TINY = 1e-6


@torch.no_grad()
def scale(
    gradients: Mapping[str, torch.Tensor],
    norms: Callable[[Mapping[str, torch.Tensor]], torch.Tensor],
    longest: float,
) -> torch.Tensor:
    """Multiply all gradients, in place, with min(1, longest / (|g| + 1e-6)).

    Source: Pascanu et al., arXiv 1211.5063, section 3.2, with the constant of torch's clip_grad_norm_.

    Args:
        gradients: of all parameters, or this worker's shards of them.
        norms: sums of squares over all workers, (n,) float64; `Layout.squared_norms`.
        longest: L2 norm over all parameters together.

    Returns:
        |g| before, () float64; the same bits on every worker.
    """
    length = norms(gradients).sum().sqrt()
    factor = (longest / (length + _TINY)).clamp(max=1.0)
    for gradient in gradients.values():
        gradient.mul_(factor.to(device=gradient.device, dtype=gradient.dtype))
    return length
