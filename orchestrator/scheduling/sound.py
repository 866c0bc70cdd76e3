"""Whether a snapshot from a file is one that a cluster could be in: what is no such thing is refused in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from itertools import chain

from orchestrator.scheduling.snapshot import Snapshot

_LARGEST = 2**53
"""Of all numbers: reckoning with larger ones is not exact."""
_MOST = 100_000
"""Of what is counted of one node or one gang: for each slot of a node there is a place in a list."""
_COUNTED = frozenset({"slots", "cpus", "workers", "workers_min", "workers_max", "max_workers"})
_SIGNED = frozenset(
    {"now", "submitted", "waits_since", "not_before", "since", "counted", "resized", "start", "end", "at", "priority"}
)
_ENDLESS = frozenset({"end"})
_LEAST = {
    ("Demand", "slots"): 1,
    ("Demand", "workers_min"): 1,
    ("Demand", "workers_max"): 1,
    ("Share", "workers"): 1,
    ("Snapshot", "max_workers"): 1,
}
_ABOVE_ZERO = frozenset({("Team", "weight"), ("Estimate", "seconds")})


def faults(snapshot: Snapshot) -> Iterator[str]:
    """What is wrong, and where; nothing of a snapshot that a server took."""
    yield from _numbers(snapshot, "")
    yield from _twice("nodes", "name", (node.name for node in snapshot.nodes))
    jobs = (*snapshot.pending, *(running.job for running in snapshot.running))
    yield from _twice("pending and running", "id", (job.id for job in jobs))
    for job in jobs:
        if job.demand.workers_max < job.demand.workers_min:
            yield f"demand of {job.id}: workers_max is less than workers_min"
    for running in snapshot.running:
        for placed in (running.placement, running.keeps or ()):
            yield from _twice(f"placement of {running.job.id}", "node", (share.node for share in placed))


def _numbers(value: object, where: str) -> Iterator[str]:
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        yield from chain.from_iterable(_numbers(item, f"{where}[{place}]") for place, item in enumerate(value))
        return
    for name in _names(value):
        item = getattr(value, name)
        there = f"{where}.{name}" if where else name
        if isinstance(item, int | float) and not isinstance(item, bool):
            wrong = _number(type(value).__name__, name, item)
            if wrong:
                yield f"{there} is {item}: it must be {wrong}"
        else:
            yield from _numbers(item, there)


def _names(value: object) -> Iterable[str]:
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    return getattr(value, "_fields", ())


def _number(kind: str, name: str, value: float) -> str:
    """What it should be; empty: it is."""
    if math.isinf(value) and value > 0 and name in _ENDLESS:
        return ""
    most = _MOST if name in _COUNTED else _LARGEST
    if not abs(value) <= most:
        return f"a number of at most {most}"
    if (kind, name) in _ABOVE_ZERO:
        return "" if value > 0 else "more than 0"
    least = -_LARGEST if name in _SIGNED else _LEAST.get((kind, name), 0)
    return "" if value >= least else f"{least} or more"


def _twice(where: str, what: str, names: Iterable[str]) -> Iterator[str]:
    counts = Counter(names)
    yield from (f"{where}: {what} {name} is there {count} times" for name, count in counts.items() if count > 1)
