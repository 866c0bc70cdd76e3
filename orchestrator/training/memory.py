"""Less memory for a step: activations computed twice, and what an out-of-memory error looks like."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from orchestrator.base.errors import UsageError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_KEPT_BYTES = 2**31 - 1
_LARGEST_KEPT = 32 * 2**20  # glibc takes no more


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device, or this process, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)


def keep_freed_memory() -> None:
    """Have glibc keep what tensors on the CPU free, up to 2 GB: else each step faults in all of its pages again.

    With a tree of slices, which holds several gradients at a time, that is 15 % of a step of ResNet-18 at 64x64.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another C library than glibc
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def release_memory(device: torch.device) -> None:
    """Give back what the allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def can_checkpoint_activations(model: nn.Module) -> bool:
    """Whether the model has blocks whose activations can be computed twice."""
    return bool(checkpointed_blocks(model))


def checkpoint_activations(model: nn.Module) -> None:
    """Keep of each block only its inputs, and run it again in the backward pass; a second call changes nothing.

    Names of parameters stay as they are. Dropout inside draws the same numbers again.

    Raises:
        UsageError: the model has no blocks.
    """
    blocks = checkpointed_blocks(model)
    if not blocks:
        raise UsageError(
            "activation checkpointing finds no blocks in the model: no Sequential or ModuleList of composed modules",
            hint="name its blocks in the model's attribute `checkpointed_modules`, or leave it off",
        )
    for block in blocks:
        if "forward" not in vars(block):
            block.forward = partial(_run_twice, block.forward)


def checkpointed_blocks(model: nn.Module) -> list[nn.Module]:
    """What the model names in `checkpointed_modules`, else the composed children of its outermost containers.

    Containers inside containers are opened: of a RegNet's stages come their blocks.
    """
    named: Iterable[str] | None = getattr(model, "checkpointed_modules", None)
    if named is not None:
        return [model.get_submodule(name) for name in named]
    return list(_blocks(model, contained=False))


def _blocks(module: nn.Module, *, contained: bool) -> Iterator[nn.Module]:
    container = isinstance(module, nn.Sequential | nn.ModuleList)
    if contained and not container and any(True for _ in module.children()):
        if any(True for _ in module.parameters()):
            yield module
        return
    for child in module.children():
        yield from _blocks(child, contained=container)


def _run_twice(forward: Callable[..., object], *inputs: object, **named: Any) -> object:
    # Imported where it is used: it costs time that a worker without it does not need to spend.
    from torch.utils.checkpoint import checkpoint

    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    return checkpoint(forward, *inputs, use_reentrant=False, **named)
