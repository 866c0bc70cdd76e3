"""Placements of runs, made narrower."""

from __future__ import annotations

from orchestrator.store.records import Placed


def trimmed(placement: Placed, workers: int) -> Placed:
    """Its first `workers`; whole nodes are left before others."""
    kept: list[tuple[str, int]] = []
    for node, count in placement:
        if (stay := min(count, workers)) > 0:
            kept.append((node, stay))
            workers -= stay
    return tuple(kept)


def between(smaller: Placed | None, larger: Placed, workers: int) -> Placed:
    """Of so many workers: all of `smaller`, and of `larger` what is missing; or just that."""
    if smaller is None:
        return larger
    known, shares = dict(larger), dict(trimmed(smaller, workers))
    for node, count in known.items():
        missing = workers - sum(shares.values())
        more = min(missing, count - shares.get(node, 0))
        if more > 0:
            shares[node] = shares.get(node, 0) + more
    return tuple(shares.items())
