"""The fixed-order sum over V slices: one binary tree that depends on V alone, so that the bits do not depend on W.

The tree's leaves are the slices, padded with absent ones to a power of two. A worker adds up the maximal aligned
sub-trees of its contiguous share. The workers then exchange those sums by chunks (all-to-all), the owner of each chunk
finishes the tree on it, and an all-gather brings the chunks together. Addition is elementwise, so that cutting into
chunks changes no bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from orchestrator.training.group import Group
from orchestrator.training.slices import share


@dataclass(frozen=True, order=True)
class Node:
    """A sub-tree: the leaves `start` to `start + size`, `size` a power of two and `start` a multiple of it."""

    start: int
    size: int

    @property
    def children(self) -> tuple[Node, Node]:
        """The left and the right half."""
        half = self.size // 2
        return Node(self.start, half), Node(self.start + half, half)


def root(count: int) -> Node:
    """The whole tree over `count` slices."""
    return Node(0, 1 << (count - 1).bit_length())


def maximal_nodes(count: int, owned: range) -> tuple[Node, ...]:
    """The largest sub-trees whose slices all lie in `owned`, from left to right; padding belongs to everybody."""

    def descend(node: Node) -> list[Node]:
        first, last = node.start, min(node.start + node.size, count)
        if first >= last or last <= owned.start or first >= owned.stop:
            return []
        if owned.start <= first and last <= owned.stop:
            return [node]
        left, right = node.children
        return descend(left) + descend(right)

    return tuple(descend(root(count)))


class SubtreeSums:
    """One worker's sums of its maximal sub-trees, made as its slices come in order; keeps O(log V) tensors.

    Slices with samples are a prefix of all slices: a right half never has samples where its left half lacks some.

    Args:
        nodes: the worker's maximal sub-trees.
    """

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes
        self._sums: dict[Node, torch.Tensor] = {}

    def add(self, index: int, value: torch.Tensor) -> None:
        """Add the leaf of slice `index`; `value` (N,) is taken over and may be changed."""
        node = Node(index, 1)
        while node not in self._nodes and node.start % (2 * node.size):
            left = Node(node.start - node.size, node.size)
            value = self._sums.pop(left).add_(value)
            node = Node(left.start, 2 * node.size)
        self._sums[node] = value

    def finish(self) -> dict[Node, torch.Tensor]:
        """The sum (N,) of each maximal sub-tree; one without any sample is left out."""
        return {node: total for node in self._nodes if (total := _total(node, self._sums)) is not None}


def finish_tree(sums: Mapping[Node, torch.Tensor], count: int) -> torch.Tensor:
    """The root's sum (N,) from sub-tree sums that cover all slices with samples; changes its inputs."""
    result = _total(root(count), sums)
    assert result is not None, "a global batch has at least one sample"
    return result


def _total(node: Node, sums: Mapping[Node, torch.Tensor]) -> torch.Tensor | None:
    if node in sums or node.size == 1:
        return sums.get(node)
    left, right = (_total(child, sums) for child in node.children)
    return _join(left, right)


def _join(left: torch.Tensor | None, right: torch.Tensor | None) -> torch.Tensor | None:
    if left is None or right is None:
        return right if left is None else left
    return left.add_(right)


def tree_all_reduce(
    group: Group, own: Mapping[Node, torch.Tensor], *, count: int, filled: int, like: torch.Tensor
) -> torch.Tensor:
    """Finish the tree over all workers.

    Args:
        group: the workers.
        own: this worker's sub-tree sums, each (N,); changed.
        count: V.
        filled: how many slices have samples in this step; they are the first ones.
        like: any (N,) tensor of the right type and device.

    Returns:
        (N,): the sum over all slices, the same bits on every worker and for every number of workers.
    """
    if group.size == 1:
        return finish_tree(own, count)
    nodes = [
        [node for node in maximal_nodes(count, share(count, worker, group.size)) if node.start < filled]
        for worker in range(group.size)
    ]
    chunk = -(-like.numel() // group.size)
    outgoing = like.new_zeros(group.size, max(map(len, nodes)), chunk)
    for place, node in enumerate(nodes[group.rank]):
        _cut(own[node], outgoing[:, place])
    incoming = group.all_to_all(outgoing)
    sums = {node: incoming[worker, place] for worker, each in enumerate(nodes) for place, node in enumerate(each)}
    return group.all_gather(finish_tree(sums, count)).view(-1)[: like.numel()]


def _cut(flat: torch.Tensor, chunks: torch.Tensor) -> None:
    """Copy `flat` (N,) into `chunks` (W, C), W * C >= N, row by row."""
    for row, part in zip(chunks, torch.split(flat, chunks.shape[1]), strict=False):
        row[: part.numel()].copy_(part)
