"""A second copy of each worker's part of the state, in the host memory of the next worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from orchestrator.training.group import Group
from orchestrator.training.layout.holdings import Holding
from orchestrator.training.layout.protocol import Tensors
from orchestrator.training.layout.reshard import as_bytes, from_bytes
from orchestrator.training.layout.shards import Item

MESSAGE_BYTES = 32 << 20
"""What one worker sends at once."""


def mirror(
    group: Group, items: Sequence[Item], own: Mapping[str, torch.Tensor], steps: int, *, limit: int = MESSAGE_BYTES
) -> Holding:
    """Copy this worker's part to the next worker, and take the part of the one before; all workers call it at once.

    Args:
        group: of at least two.
        items: what the state consists of, in one order everywhere.
        own: this worker's part, by key.
        steps: after how many it is.
        limit: bytes of a message.

    Returns:
        Copies of both parts, in host memory.
    """
    rank, size = group.rank, group.size
    before = (rank - 1) % size
    mine = {item.key: own[item.key].to("cpu", copy=True) for item in items}
    theirs: Tensors = {item.key: mine[item.key] for item in items if not item.sharded}
    for batch in _messages([item for item in items if item.sharded], size, limit):
        received = _pass_on(group, torch.cat([as_bytes(own[item.key].reshape(-1)) for item in batch]), batch, before)
        sizes = [_bytes(item, before, size) for item in batch]
        for item, part in zip(batch, torch.split(received.cpu(), sizes), strict=True):
            theirs[item.key] = from_bytes(part, item.dtype).view(item.local_shape(before, size))
    return Holding(steps, group.epoch, size, {rank: mine, before: theirs})


def _pass_on(group: Group, outgoing: torch.Tensor, batch: Sequence[Item], before: int) -> torch.Tensor:
    sends, receives = [0] * group.size, [0] * group.size
    sends[(group.rank + 1) % group.size] = outgoing.numel()
    receives[before] = sum(_bytes(item, before, group.size) for item in batch)
    return group.exchange(outgoing, sends, receives)


def _messages(items: Sequence[Item], size: int, limit: int) -> Iterator[list[Item]]:
    """Items whose largest parts are together no longer than a message; the same on every worker."""
    batch: list[Item] = []
    room = limit
    for item in items:
        if batch and _bytes(item, 0, size) > room:
            yield batch
            batch, room = [], limit
        batch.append(item)
        room -= _bytes(item, 0, size)
    if batch:
        yield batch


def _bytes(item: Item, rank: int, size: int) -> int:
    return len(item.rows(rank, size)) * item.row_bytes
