"""Placements of runs: parts of them, and what a run has of two when a resize goes wrong."""

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


def between(one: Placed, other: Placed, workers: int) -> Placed:
    """Of so many workers: all of the narrower one, and of the wider one what is missing."""
    narrower, wider = sorted((one, other), key=lambda placement: sum(count for _, count in placement))
    shares = dict(trimmed(narrower, workers))
    for node, count in wider:
        missing = workers - sum(shares.values())
        more = min(missing, count - shares.get(node, 0))
        if more > 0:
            shares[node] = shares.get(node, 0) + more
    return tuple(shares.items())
