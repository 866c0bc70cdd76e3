"""Tensors from one layout into another over the network, in messages of bounded size, never whole on one worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from orchestrator.training.group import Group
from orchestrator.training.layout.protocol import Tensors
from orchestrator.training.layout.shards import Item, Move, Resharding, rounds

ROUND_BYTES = 64 << 20
"""What is sent at once, of all workers together."""


def reshard(
    group: Group,
    items: Sequence[Item],
    plan: Resharding,
    held: Mapping[int, Tensors],
    *,
    limit: int = ROUND_BYTES,
) -> Tensors:
    """Give each member its part of each item.

    Args:
        group: all who give or get; each calls this with equal arguments but the last.
        items: in one order everywhere.
        plan: who holds what.
        held: this worker's parts of the old layout, by their place in it.
        limit: bytes of a round.

    Returns:
        New tensors on the group's device, by key; empty on a worker that is no member.
    """
    rank, members = group.rank, plan.members
    result: Tensors = {}
    if rank < members:
        result = {
            item.key: torch.empty(item.local_shape(rank, members), dtype=item.dtype, device=group.device)
            for item in items
        }
    for pieces in rounds(items, limit):
        moves = list(plan.moves(pieces))
        for move in moves:
            if move.source == move.target == rank:
                _own_rows(move, result, rank, members).copy_(_held_rows(move, held, plan))
        _send(group, [move for move in moves if move.source != move.target], plan, held, result)
    return result


def _send(group: Group, moves: Sequence[Move], plan: Resharding, held: Mapping[int, Tensors], result: Tensors) -> None:
    """One round; every worker takes part, with nothing to send where so."""
    outgoing = [[m for m in moves if m.source == group.rank and m.target == r] for r in range(group.size)]
    incoming = [[m for m in moves if m.target == group.rank and m.source == r] for r in range(group.size)]
    if not moves:
        return
    parts = [as_bytes(_held_rows(m, held, plan)).to(group.device) for each in outgoing for m in each]
    buffer = torch.cat(parts) if parts else torch.empty(0, dtype=torch.uint8, device=group.device)
    received = group.exchange(buffer, list(map(_bytes, outgoing)), list(map(_bytes, incoming)))
    flat = [move for each in incoming for move in each]
    for move, part in zip(flat, torch.split(received, [_bytes([move]) for move in flat]), strict=True):
        _own_rows(move, result, group.rank, plan.members).copy_(from_bytes(part, move.piece.item.dtype))


def _bytes(moves: Sequence[Move]) -> int:
    return sum(len(move.rows) * move.piece.item.row_bytes for move in moves)


def _held_rows(move: Move, held: Mapping[int, Tensors], plan: Resharding) -> torch.Tensor:
    """Flat: the rows in the old layout."""
    item = move.piece.item
    part = held[move.part][item.key]
    return _cut(item, part, move.rows, item.rows(move.part, len(plan.holders)))


def _own_rows(move: Move, result: Tensors, rank: int, members: int) -> torch.Tensor:
    """Flat: where they go in the new one."""
    item = move.piece.item
    return _cut(item, result[item.key], move.rows, item.rows(rank, members))


def _cut(item: Item, local: torch.Tensor, rows: range, whole: range) -> torch.Tensor:
    if not item.sharded:
        return local.view(-1)
    return local[rows.start - whole.start : rows.stop - whole.start].view(-1)


def as_bytes(flat: torch.Tensor) -> torch.Tensor:
    """(n,) of any type as uint8."""
    return flat.contiguous().view(torch.uint8)


def from_bytes(flat: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The inverse; the bytes may begin anywhere in their storage."""
    return flat.clone().view(dtype)
