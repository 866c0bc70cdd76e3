"""Parameters in buckets of about 25 MB: what one collective carries while the backward pass goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import torch

BUCKET_BYTES = 25 * 2**20


@dataclass(frozen=True)
class Parts:
    """Tensors of one bucket, or of all parameters, that are added up together."""

    tensors: list[torch.Tensor]

    def add_(self, other: Self, /) -> Self:
        """Add each in place."""
        torch._foreach_add_(self.tensors, other.tensors)
        return self


@dataclass(frozen=True)
class Bucket:
    """Tensors of one type that travel together.

    Attributes:
        members: in the order in which they lie.
        numel: elements of all.
    """

    members: tuple[torch.Tensor, ...]
    numel: int

    def views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Each member's place in `flat` (numel,) or longer, in the member's own shape and memory format."""
        views, start = [], 0
        for member in self.members:
            part = flat[start : start + member.numel()]
            views.append(part.as_strided(member.shape, _dense_strides(member), part.storage_offset()))
            start += member.numel()
        return views

    def pack(self, tensors: Sequence[torch.Tensor], flat: torch.Tensor) -> None:
        """Copy the tensors, shaped as the members are, into `flat`."""
        torch._foreach_copy_(self.views(flat), list(tensors))


def in_buckets(tensors: Iterable[torch.Tensor], size: int = BUCKET_BYTES) -> tuple[Bucket, ...]:
    """Neighbours of one type together, up to `size` bytes or one tensor."""
    buckets: list[Bucket] = []
    members: list[torch.Tensor] = []
    held = 0
    for tensor in tensors:
        if members and (held + tensor.nbytes > size or tensor.dtype != members[0].dtype):
            buckets.append(_bucket(members))
            members, held = [], 0
        members.append(tensor)
        held += tensor.nbytes
    return (*buckets, _bucket(members)) if members else tuple(buckets)


def _bucket(members: list[torch.Tensor]) -> Bucket:
    return Bucket(tuple(members), sum(member.numel() for member in members))


def _dense_strides(tensor: torch.Tensor) -> tuple[int, ...]:
    """The tensor's own strides where it has no holes and no overlaps, else those of a contiguous one."""
    return torch.empty_like(tensor, device="meta").stride()
