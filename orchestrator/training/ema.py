"""Exponential moving averages of parameters and buffers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

EMA = "ema/"


@torch.no_grad()
def fresh(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Averages that begin at the tensors themselves, by `ema/<name>`."""
    return {EMA + name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def update(
    average: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], decay: float, *, once: bool = False
) -> None:
    """Make e = decay e + (1 - decay) t, in place; what holds no fractions (a count) is copied.

    Args:
        average: with `ema/<name>` for each of the tensors; other keys are left alone.
        tensors: parameters and buffers, or this worker's shards of them.
        decay: share that is kept.
        once: only operations that round once, see `optim.protocol.Optimizer.update`.
    """
    pairs = [(average[EMA + name], tensor.detach()) for name, tensor in tensors.items()]
    for kept, tensor in pairs:
        if not kept.is_floating_point():
            kept.copy_(tensor)
    averages = [kept for kept, _ in pairs if kept.is_floating_point()]
    values = [tensor for kept, tensor in pairs if kept.is_floating_point()]
    if not averages:
        return
    if once:
        torch._foreach_mul_(averages, decay)
        torch._foreach_add_(averages, torch._foreach_mul(values, 1 - decay))
    else:
        torch._foreach_lerp_(averages, values, 1 - decay)


@torch.no_grad()
def average_into(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Make t = decay t + (1 - decay) s of each parameter of a momentum encoder, in place; buffers stay.

    Every operation rounds once: the same bits whether parameters are whole or sharded. For `Task.after_step`.

    Args:
        teacher: with the same parameters as the student, none of them trained.
        student: that it follows.
        decay: share that is kept.
    """
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.mul_(decay).add_(fast.detach() * (1 - decay))
