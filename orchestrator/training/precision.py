"""Mixed precision: what forward passes compute in, and fp16's loss scale as a pure function of what came before."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch

GROWTH_STEPS = 2000
"""Steps without an overflow after which the scale is doubled (Micikevicius et al., arXiv 1710.03740, section 3.2)."""
_SMALLEST = 1.0
_LARGEST = 2.0**32


@dataclass(frozen=True)
class LossScale:
    """Powers of two only, so that scaling and unscaling change no bit of a gradient that stays representable.

    Attributes:
        value: what the loss is multiplied with before the backward pass.
        good_steps: since it changed last.
    """

    value: float = 2.0**16
    good_steps: int = 0

    @property
    def can_shrink(self) -> bool:
        """Whether an overflow can be answered with a smaller scale."""
        return self.value > _SMALLEST

    def after(self, *, overflow: bool) -> Self:
        """The scale of the next step."""
        if overflow:
            return replace(self, value=max(self.value / 2, _SMALLEST), good_steps=0)
        if self.good_steps + 1 < GROWTH_STEPS:
            return replace(self, good_steps=self.good_steps + 1)
        return replace(self, value=min(self.value * 2, _LARGEST), good_steps=0)


def computing(precision: Literal["fp32", "bf16", "fp16"], device: torch.device) -> AbstractContextManager[object]:
    """Around a forward pass: operations that are safe in half precision use it; parameters stay fp32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no element is infinite or not a number: one pass over them, and one answer from the device."""
    looked_at = [tensor for tensor in tensors if tensor.numel() and tensor.is_floating_point()]
    if not looked_at:
        return True
    device = looked_at[0].device
    if bool(torch.stack([norm.to(device) for norm in torch._foreach_norm(looked_at)]).isfinite().all()):
        return True
    # The square of a large number is infinite too.
    return all(bool(tensor.isfinite().all()) for tensor in looked_at)
