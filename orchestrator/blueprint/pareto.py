"""The Pareto front: of models with a cost and an error, those that no other beats."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other dominates: none is nowhere worse and somewhere better, where less is better.

    Equal points do not dominate each other: all of them are kept, or none. Points that hold a NaN are left out.
    Takes O(n log n) time.

    Args:
        points: (cost, error) of each model.

    Returns:
        Their positions in `points`, by rising cost; equal points in the order in which they came.
    """
    comparable = [i for i, point in enumerate(points) if not any(map(math.isnan, point))]
    front: list[int] = []
    for i in sorted(comparable, key=points.__getitem__):
        # Of all points so far, the front's last has the lowest error, and costs no more than this one.
        if not front or points[i][1] < points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front
