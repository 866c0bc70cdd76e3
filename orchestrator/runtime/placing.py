"""Which parts of a run stay where its placement changes: pure, for the coordinator and for whoever brings the parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A part of a run on one node, with an agent of its own: it is there as a whole, or it is not.

    Attributes:
        index: of its agent.
        node: that it lies on.
        workers: that it has room for.
    """

    index: int
    node: str
    workers: int


def surplus_of(parts: Iterable[Part], wanted: Mapping[str, int]) -> set[int]:
    """Parts that are not needed. On each node the oldest stay, as far as they fit into what is wanted there.

    Args:
        parts: of the run.
        wanted: workers of each node.
    """
    left, surplus = dict(wanted), set[int]()
    for part in sorted(parts, key=lambda part: part.index):
        if 0 < part.workers <= left.get(part.node, 0):
            left[part.node] -= part.workers
        else:
            surplus.add(part.index)
    return surplus


def missing_of(parts: Iterable[Part], wanted: Mapping[str, int]) -> dict[str, int]:
    """Workers of each node for which there is no part yet."""
    parts = list(parts)
    surplus, left = surplus_of(parts, wanted), dict(wanted)
    for part in parts:
        if part.index not in surplus:
            left[part.node] -= part.workers
    return {node: workers for node, workers in left.items() if workers > 0}
