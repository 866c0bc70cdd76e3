"""Whole tensors from one worker to all others of a group, many in each message."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from orchestrator.training.group import Group
from orchestrator.training.layout.buckets import Bucket, in_buckets


def hand_over(group: Group, tensors: Mapping[str, torch.Tensor], source: int) -> None:
    """Overwrite every worker's tensors, in place, with those of worker `source`.

    Args:
        group: all of its workers call this.
        tensors: the same names, shapes and types on every worker; memory formats may differ.
        source: a rank.
    """
    ordered = sorted(tensors.items(), key=lambda item: (str(item[1].dtype), item[0]))
    for bucket in in_buckets(tensor for _, tensor in ordered if tensor.numel()):
        flat = _flat(bucket) if group.rank == source else bucket.members[0].new_empty(bucket.numel, device=group.device)
        group.broadcast(flat, source)
        if group.rank != source:
            sizes = [member.numel() for member in bucket.members]
            for member, part in zip(bucket.members, torch.split(flat, sizes), strict=True):
                member.copy_(part.view(member.shape))


def _flat(bucket: Bucket) -> torch.Tensor:
    return torch.cat([member.reshape(-1) for member in bucket.members])
