"""What a job can ask of a cluster, what a cluster has, and where workers lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which a node takes no work: nothing is to run into it, and what does is asked to stop.

    Attributes:
        start: seconds since the epoch.
        end: the same; infinite where nobody knows.
        why: for people.
    """

    start: float
    end: float = math.inf
    why: str = "maintenance"

    def of(self, node: str) -> str:
        """`maintenance of n-1`, `maintenance of n-1 (new fans)`."""
        return f"maintenance of {node}" + ("" if self.why == "maintenance" else f" ({self.why})")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine.

    Attributes:
        name: unique in the cluster.
        slots: GPUs, or CPU cores where there is no GPU.
        gpu_type: such as `h200`; empty where nobody said.
        cpus: cores; 0: not counted (always so where slots are cores).
        memory: bytes; 0: not counted.
        rack: empty where nobody said.
        state: `up`; `drained`: what runs on it goes on, nothing new starts; `down`: nothing runs on it; `absent`: it is
            not there, and comes when something waits for it.
        note: why it is drained or down, and by whom.
        windows: of maintenance, in order of time.
        taken: its engine has drained it: nobody who uses the queue can have it take work again.
    """

    name: str
    slots: int
    gpu_type: str = ""
    cpus: int = 0
    memory: int = 0
    rack: str = ""
    state: Literal["up", "drained", "down", "absent"] = "up"
    note: str = ""
    windows: tuple[Window, ...] = ()
    taken: bool = False

    def window_at(self, now: float) -> Window | None:
        """The maintenance that it is in; None: it is in none."""
        return next((window for window in self.windows if window.start <= now < window.end), None)


@dataclass(frozen=True, slots=True)
class Constraints:
    """Where the workers of a job may lie.

    Attributes:
        gpu_types: one of these; empty: any.
        not_on: not on these nodes.
        same_rack: all workers in one rack.
    """

    gpu_types: tuple[str, ...] = ()
    not_on: frozenset[str] = frozenset()
    same_rack: bool = False


ANYWHERE = Constraints()


@dataclass(frozen=True, slots=True)
class Demand:
    """What a job needs. Jobs of one demand fit at the same places: it is a key of caches and is hashed often.

    Attributes:
        workers_min: the fewest workers that it can run with.
        workers_max: the most that it can use.
        slots: of one worker.
        cpus: of one worker, beside its slots; 0: not counted.
        memory: bytes of one worker; 0: not counted.
        packed: a gang that fits on one node lies on one node, a larger one on the fewest whole nodes, the last of
            which may be shared; False: anywhere.
        constraints: where.
    """

    workers_min: int = 1
    workers_max: int = 1
    slots: int = 1
    cpus: int = 0
    memory: int = 0
    packed: bool = True
    constraints: Constraints = ANYWHERE


ONE_WORKER = Demand()


class Share(NamedTuple):
    """The workers of one job on one node."""

    node: str
    workers: int


Placement = tuple[Share, ...]
"""Where the workers of one job lie; each node at most once, at least one worker each."""


def workers_of(placement: Placement) -> int:
    """How many workers lie there."""
    return placement[0][1] if len(placement) == 1 else sum([workers for _, workers in placement])


def joined(one: Placement, other: Placement) -> Placement:
    """What holds both of them, of each node the larger share."""
    shares = dict(one)
    for node, workers in other:
        shares[node] = max(workers, shares.get(node, 0))
    return tuple(sorted(Share(node, workers) for node, workers in shares.items()))


def without(placement: Placement, less: Placement) -> Placement:
    """What of `placement` is not in `less`."""
    gone: Mapping[str, int] = dict(less)
    rest = (Share(node, workers - gone.get(node, 0)) for node, workers in placement)
    return tuple(share for share in rest if share.workers > 0)
