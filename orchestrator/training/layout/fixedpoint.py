"""Sums of squares of sharded tensors whose bits do not depend on how they are cut: integers are added, not floats.

A square of a float32 is exact in float64. Scaled by a power of two that all workers share (that of the tensor's largest
magnitude), it is split into two integers of 30 bits each; sums of integers have no order. What is left out is below
2^-60 of the largest square for each element.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from orchestrator.training.group import Group

_BITS = 30
_CPU_CHUNK, _GPU_CHUNK = 1 << 16, 1 << 22
"""Elements at once: what fits into a CPU's cache, and what keeps a GPU busy; at most 2^23, see `_integers`."""


def squared_norms(group: Group, parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Of each tensor, of which every worker has a part, the sum of squares over all of them.

    Args:
        group: who has the parts; all call it with the same number of tensors.
        parts: this worker's; empty ones too.

    Returns:
        (n,) float64, the same bits on every worker and for any cut; inf or nan where an element is.
    """
    locals_ = [part.detach().reshape(-1) for part in parts]
    if not locals_:
        return torch.zeros(0, dtype=torch.float64, device=group.device)
    largest = torch.stack([_largest(part) for part in locals_]).to(group.device)
    largest = group.all_gather(largest).amax(dim=0)
    exponents = torch.frexp(torch.where(torch.isfinite(largest), largest, 1.0)).exponent
    sums = torch.stack([_integers(part, exponent) for part, exponent in zip(locals_, exponents, strict=True)])
    high, low = group.all_gather(sums).sum(dim=0).double().unbind(dim=1)
    mantissa = high * 2.0**-_BITS + low * 2.0 ** (-2 * _BITS)
    return torch.where(torch.isfinite(largest), mantissa * _power(2 * exponents), largest)


def _largest(part: torch.Tensor) -> torch.Tensor:
    """Magnitude () float64; NaN where there is one."""
    if not part.numel():
        return part.new_zeros((), dtype=torch.float64)
    return part.abs().amax().double()


def _integers(part: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """(2,) int64: the sums of the high and of the low halves of (x / 2^exponent)^2, which is below 1."""
    shrink = _power(-exponent)
    sums = torch.zeros(2, dtype=torch.int64, device=part.device)
    for chunk in torch.split(part, _CPU_CHUNK if part.device.type == "cpu" else _GPU_CHUNK):
        scaled = chunk.double().mul_(shrink)
        squares = scaled.mul_(scaled).mul_(2.0**_BITS)
        high = squares.floor()
        low = squares.sub_(high).mul_(2.0**_BITS).round_()
        # Whole numbers, whose sums stay below 2^53: exact in any order.
        sums += torch.stack([high.sum(), low.sum()]).long()
    return sums


def _power(exponents: torch.Tensor) -> torch.Tensor:
    """2^n float64 of integers, exactly, put together from its bits: `torch.ldexp` goes through float32."""
    return ((exponents.long() + 1023) << 52).view(torch.float64)
