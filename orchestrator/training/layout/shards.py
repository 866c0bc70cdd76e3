"""Pure: which rows of a tensor each worker holds, and who sends what to whom when the number of workers changes.

A sharded tensor is cut along its first dimension as `torch.chunk` does it (and FSDP2, and DTensor's `Shard(0)`): equal
parts of ceil(n / W) rows, the last ones shorter or empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Item:
    """One tensor of a training's state.

    Attributes:
        key: its name.
        shape: of the whole.
        dtype: of its elements.
        sharded: cut into rows; else whole on every worker.
    """

    key: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    sharded: bool

    @property
    def name(self) -> str:
        """Of the parameter or buffer that it belongs to."""
        return name_of(self.key)

    @property
    def length(self) -> int:
        """Rows that can be sent one by one; what is not sharded is one row."""
        return self.shape[0] if self.sharded else 1

    @property
    def row_bytes(self) -> int:
        """Size of one of them."""
        return math.prod(self.shape[1:] if self.sharded else self.shape) * self.dtype.itemsize

    def rows(self, rank: int, size: int) -> range:
        """The rows of one of `size` workers."""
        return shard_rows(self.length, rank, size) if self.sharded else range(1)

    def local_shape(self, rank: int, size: int) -> tuple[int, ...]:
        """The shape of one worker's part."""
        return (len(self.rows(rank, size)), *self.shape[1:]) if self.sharded else self.shape


def name_of(key: str) -> str:
    """Of `model/<name>`, `optimizer/<slot>/<name>` and `ema/<name>` the name."""
    return key.split("/", 2 if key.startswith("optimizer/") else 1)[-1]


def shard_rows(length: int, rank: int, size: int) -> range:
    """The rows of worker `rank`."""
    chunk = -(-length // size)
    return range(min(length, rank * chunk), min(length, (rank + 1) * chunk))


@dataclass(frozen=True)
class Piece:
    """Some rows of an item, sent in one round."""

    item: Item
    rows: range


def rounds(items: Sequence[Item], limit: int) -> Iterator[list[Piece]]:
    """All rows of all items, in order, about `limit` bytes (or one row) in each round."""
    pieces: list[Piece] = []
    room = limit
    for item in items:
        start = 0
        while start < item.length:
            count = min(item.length - start, max(1, room // max(1, item.row_bytes)))
            if pieces and count * item.row_bytes > room:
                yield pieces
                pieces, room = [], limit
                continue
            pieces.append(Piece(item, range(start, start + count)))
            start, room = start + count, room - count * item.row_bytes
            if room <= 0:
                yield pieces
                pieces, room = [], limit
    if pieces:
        yield pieces


@dataclass(frozen=True)
class Move:
    """Rows that one worker gives to another, or to itself.

    Attributes:
        piece: which they are part of.
        rows: of the item.
        part: the part of the old layout that they are taken from.
        source: rank of who gives.
        target: rank of who gets.
    """

    piece: Piece
    rows: range
    part: int
    source: int
    target: int


@dataclass(frozen=True)
class Resharding:
    """From one layout to another.

    Attributes:
        holders: of each part of the old layout the ranks that hold it.
        members: workers of the new layout: ranks 0 to members - 1.
    """

    holders: tuple[tuple[int, ...], ...]
    members: int

    def moves(self, pieces: Sequence[Piece]) -> Iterator[Move]:
        """Of one round, in an order that is the same on every worker."""
        for piece in pieces:
            for target in range(self.members):
                wanted = _overlap(piece.rows, piece.item.rows(target, self.members))
                for part in self._parts(piece.item, wanted, target):
                    rows = _overlap(wanted, piece.item.rows(part, len(self.holders)))
                    if rows:
                        yield Move(piece, rows, part, self._source(part, target), target)

    def _parts(self, item: Item, wanted: range, target: int) -> Sequence[int]:
        """Those that rows may come from: of what everybody holds, any that the target holds itself."""
        size = len(self.holders)
        if not item.sharded:
            own = [part for part in range(size) if target in self.holders[part]]
            return own[:1] or [target % size]
        if not wanted:
            return ()
        chunk = -(-item.length // size)
        return range(wanted.start // chunk, (wanted.stop - 1) // chunk + 1)

    def _source(self, part: int, target: int) -> int:
        """The target itself where it can; else the holders take turns."""
        ranks = self.holders[part]
        return target if target in ranks else ranks[target % len(ranks)]


def _overlap(a: range, b: range) -> range:
    start = max(a.start, b.start)
    return range(start, max(start, min(a.stop, b.stop)))
