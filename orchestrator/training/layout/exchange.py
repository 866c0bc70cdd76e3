"""The sum of one bucket over all workers, begun while the backward pass goes on: in the tree's order, or in any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from orchestrator.training.group import Group, Pending
from orchestrator.training.layout.buckets import Bucket, Parts
from orchestrator.training.slices import share
from orchestrator.training.tree_sum import Node, finish_tree, maximal_nodes


class Exchange(Protocol):
    """One bucket's sum; on every worker the same calls in the same order."""

    def start(self, sums: Mapping[Node, Parts]) -> None:
        """Hand over this worker's sums of its sub-trees."""
        ...

    def turn(self) -> None:
        """Wait for what `start` began, and begin what comes after it."""
        ...

    def finish(self, scale: float) -> list[torch.Tensor]:
        """Each member's sum over all slices, times `scale`: views of memory that the next step uses again."""
        ...


class TreeExchange:
    """Partial sums go to the owner of each chunk, who finishes the tree on it; then all chunks go to everybody.

    The traffic is that of a ring all-reduce where each worker's slices are one aligned sub-tree.

    Args:
        bucket: what is summed.
        group: the workers.
        count: V.
        filled: slices with samples; they are the first ones.
    """

    def __init__(self, bucket: Bucket, group: Group, count: int, filled: int) -> None:
        self._bucket, self._group, self._count = bucket, group, count
        self._nodes = nodes_of_workers(count, filled, group.size)
        self._chunk = -(-bucket.numel // group.size)
        self._pending: Pending | None = None

    def start(self, sums: Mapping[Node, Parts]) -> None:
        """Begin to send each owner its chunk of every sub-tree's sum."""
        size, chunk = self._group.size, self._chunk
        like, most = self._bucket.members[0], max(map(len, self._nodes))
        outgoing = like.new_empty(size, most, chunk)
        for place, node in enumerate(self._nodes[self._group.rank]):
            flat = outgoing.view(-1) if most == 1 else like.new_empty(size * chunk)
            flat[self._bucket.numel :].zero_()
            self._bucket.pack(sums[node].tensors, flat)
            if most > 1:
                outgoing[:, place].copy_(flat.view(size, chunk))
        self._pending = self._group.start_all_to_all(outgoing)

    def turn(self) -> None:
        """Finish the tree on the own chunk, and begin to give it to all."""
        assert self._pending is not None
        incoming = self._pending.wait()
        sums = {node: incoming[w, place] for w, nodes in enumerate(self._nodes) for place, node in enumerate(nodes)}
        self._pending = self._group.start_all_gather(finish_tree(sums, self._count))

    def finish(self, scale: float) -> list[torch.Tensor]:
        """Wait for all chunks."""
        assert self._pending is not None
        return self._bucket.views(self._pending.wait().view(-1).mul_(scale))


class PlainExchange:
    """One all-reduce, whose order is the engine's own.

    Args:
        bucket: what is summed.
        group: the workers.
    """

    def __init__(self, bucket: Bucket, group: Group) -> None:
        self._bucket, self._group = bucket, group
        self._pending: Pending | None = None

    def start(self, sums: Mapping[Node, Parts]) -> None:
        """Begin the all-reduce of all that this worker has summed."""
        flat = self._bucket.members[0].new_zeros(self._bucket.numel)
        for parts in sums.values():
            self._bucket.pack(parts.tensors, flat)
        self._pending = self._group.start_all_reduce(flat)

    def turn(self) -> None:
        """There is nothing after it."""

    def finish(self, scale: float) -> list[torch.Tensor]:
        """Wait for the sum."""
        assert self._pending is not None
        return self._bucket.views(self._pending.wait().mul_(scale))


def nodes_of_workers(count: int, filled: int, workers: int) -> Sequence[Sequence[Node]]:
    """Of each worker the sub-trees with samples whose sums it makes."""
    return [
        [node for node in maximal_nodes(count, share(count, worker, workers)) if node.start < filled]
        for worker in range(workers)
    ]
