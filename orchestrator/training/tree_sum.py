"""The fixed-order sum over V slices: one binary tree that depends on V alone, so that the bits do not depend on W.

The tree's leaves are the slices, padded with absent ones to a power of two. A worker adds up the maximal aligned
sub-trees of its contiguous share. The workers then exchange those sums by chunks (all-to-all), the owner of each chunk
finishes the tree on it, and an all-gather brings the chunks together (`layout.exchange`). Addition is elementwise, so
that cutting into chunks changes no bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar


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


class Summand(Protocol):
    """What is added up: a tensor, or several."""

    def add_(self, other: Self, /) -> Self:
        """Add in place."""
        ...


SummandT = TypeVar("SummandT", bound=Summand)


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


class SubtreeSums(Generic[SummandT]):
    """One worker's sums of its maximal sub-trees, made as its slices come in order; keeps O(log V) summands.

    Slices with samples are a prefix of all slices: a right half never has samples where its left half lacks some.

    Args:
        nodes: the worker's maximal sub-trees.
    """

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes
        self._sums: dict[Node, SummandT] = {}

    def add(self, index: int, value: SummandT) -> None:
        """Add the leaf of slice `index`; `value` is taken over and may be changed."""
        self._climb(Node(index, 1), value)

    def take_left(self, index: int) -> SummandT | None:
        """Take out the leaf that the one of slice `index` is to be added to; None where none is waiting for it."""
        return self._sums.pop(Node(index - 1, 1)) if index % 2 and Node(index, 1) not in self._nodes else None

    def add_pair(self, index: int, value: SummandT) -> None:
        """Add what `take_left` gave and the leaf of slice `index`, already added up."""
        self._climb(Node(index - 1, 2), value)

    def _climb(self, node: Node, value: SummandT) -> None:
        while node not in self._nodes and node.start % (2 * node.size):
            left = Node(node.start - node.size, node.size)
            value = self._sums.pop(left).add_(value)
            node = Node(left.start, 2 * node.size)
        self._sums[node] = value

    def finish(self) -> dict[Node, SummandT]:
        """The sum of each maximal sub-tree; one without any sample is left out."""
        return {node: total for node in self._nodes if (total := _total(node, self._sums)) is not None}


def finish_tree(sums: Mapping[Node, SummandT], count: int) -> SummandT:
    """The root's sum from sub-tree sums that cover all slices with samples; changes its inputs."""
    result = _total(root(count), sums)
    assert result is not None, "a global batch has at least one sample"
    return result


def _total(node: Node, sums: Mapping[Node, SummandT]) -> SummandT | None:
    if node in sums or node.size == 1:
        return sums.get(node)
    left, right = (_total(child, sums) for child in node.children)
    if left is None or right is None:
        return right if left is None else left
    return left.add_(right)
