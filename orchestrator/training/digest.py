"""Numbers that say whether tensors are equal bit for bit: of a whole model, or of one that lies in shards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from orchestrator.training.group import Group

_MULTIPLIERS = (0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9, 0x14D049BB133111EB)


def parameters_digest(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers, by name: equal exactly where two models are, bit for bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def tensor_digests(tensors: Mapping[str, torch.Tensor], offsets: Mapping[str, int], group: Group) -> dict[str, str]:
    """One digest for each tensor, the same for every number of workers; all of them call this.

    Each element's bits are mixed with its place in the whole tensor; the digest is the sum of that over all elements,
    modulo 2^64, of two mixtures. It tells apart what went wrong, not what somebody made to look alike.

    Args:
        tensors: this worker's part of each: consecutive elements of the whole tensor, in row-major order.
        offsets: of the first element of a part in the whole tensor; only of those that lie in shards: others are whole
            on every worker.
        group: the workers.
    """
    if not tensors:
        return {}
    sums = torch.stack([_mixed(tensor, offsets.get(name, 0)) for name, tensor in tensors.items()])
    total = group.all_gather(sums).sum(0) if offsets else sums
    sharded = torch.tensor([name in offsets for name in tensors], device=sums.device)
    found = torch.where(sharded.unsqueeze(1), total, sums).tolist()
    return {
        name: "".join(f"{number % 2**64:016x}" for number in numbers)
        for name, numbers in zip(tensors, found, strict=True)
    }


def joint_digest(digests: Mapping[str, str]) -> str:
    """One digest of several, by name."""
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()


def _mixed(tensor: torch.Tensor, offset: int) -> torch.Tensor:
    """(2,) int64."""
    flat = tensor.detach().contiguous().reshape(-1)
    if flat.element_size() == 8:
        bits = flat.view(torch.int64)
    else:
        width = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[flat.element_size()]
        bits = flat.view(width).to(torch.int64)
    places = torch.arange(offset, offset + len(flat), device=flat.device) * _MULTIPLIERS[0]
    return torch.stack([_scramble(bits * factor + places).sum() for factor in _MULTIPLIERS[1:]])


def _scramble(numbers: torch.Tensor) -> torch.Tensor:
    """A permutation of 64 bits in which every bit of the input moves half of the output."""
    for shift, factor in ((30, _MULTIPLIERS[1]), (27, _MULTIPLIERS[2])):
        numbers = (numbers ^ (numbers >> shift)) * factor
    return numbers ^ (numbers >> 31)
