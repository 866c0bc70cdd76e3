"""Who looks on while a simulation runs: time series for plots, and the share of slots that are free and of no use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.scheduling.cluster import Demand, Node
from orchestrator.scheduling.layout import usable


class Sight(Protocol):
    """What an observer may look at, after the decisions of an instant are carried out.

    Attributes:
        now: seconds.
        busy: jobs that run.
        used: slots that they hold.
    """

    now: float
    busy: int
    used: int

    @property
    def queue(self) -> int:
        """Jobs that wait."""

    @property
    def capacity(self) -> int:
        """Slots of the nodes that are not down."""

    def free(self) -> Mapping[str, int]:
        """Slots of each node that is up and not in maintenance, less those that are held."""

    def waiting(self) -> Iterable[Demand]:
        """The demands of the jobs that wait."""

    def node(self, name: str) -> Node:
        """A node, as it is."""


class Observer(Protocol):
    """Looks when the first decision is made at or after its next time.

    Attributes:
        every: seconds between two looks; 0: after each decision.
    """

    every: float

    def look(self, scene: Sight) -> None:
        """Take down what it wants to know."""


@dataclass
class Series:
    """Queue and use over time; a step function: a value holds until the next time."""

    every: float = 0.0
    times: list[float] = field(default_factory=list)
    queue: list[int] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)
    capacity: list[int] = field(default_factory=list)

    def look(self, scene: Sight) -> None:
        """One more point."""
        self.times.append(scene.now)
        self.queue.append(scene.queue)
        self.used.append(scene.used)
        self.running.append(scene.busy)
        self.capacity.append(scene.capacity)


@dataclass
class Fragmentation:
    """The share of the capacity that is free while jobs wait, none of which can use it, averaged over looks.

    A job that fits on one node can use the free slots of a node where it fits as a whole at its narrowest; a larger
    one those of a node that is free altogether (a packed job) or holds one worker (any other). It is a share of the
    capacity, and looks at which nothing waits or nothing is free count as none: so a policy that leaves few slots free
    is not worse for those few. Each look counts alike. This is the spirit of the measure of "Beware of Fragmentation"
    (Weng et al., ATC 2023, section 3), with the jobs that wait now in the place of a typical workload.
    """

    every: float = 600.0
    _sum: float = 0.0
    _looks: int = 0

    @property
    def share(self) -> float | None:
        """Mean share, 0 to 1; None where nobody looked."""
        return self._sum / self._looks if self._looks else None

    def look(self, scene: Sight) -> None:
        """One more sample."""
        self._looks += 1
        if not scene.queue or not scene.capacity:
            return
        free = {name: slots for name, slots in scene.free().items() if slots > 0}
        if free:
            demands = set(scene.waiting())
            nodes = ((scene.node(name), slots) for name, slots in free.items())
            unusable = sum(
                slots for node, slots in nodes if not any(_helps(d, node, slots, scene.now) for d in demands)
            )
            self._sum += unusable / scene.capacity


def _helps(demand: Demand, node: Node, free: int, now: float) -> bool:
    if not usable(node, demand, now, now):
        return False
    gang = demand.workers_min * demand.slots
    if not demand.packed:
        return free >= demand.slots
    return free >= gang if gang <= node.slots else free == node.slots
