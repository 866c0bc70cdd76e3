"""What is asked of whom for one waiting job, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.scheduling.cluster import Placement, Share, workers_of
from orchestrator.scheduling.givers import Giver


@dataclass(frozen=True)
class Ask:
    """One running job gives something up.

    Attributes:
        giver: who.
        keeps: what it holds afterwards; nothing: it stops.
        gives: what it gives up.
        cost: slot-seconds that are lost by it.
    """

    giver: Giver
    keeps: Placement
    gives: Placement
    cost: float

    @property
    def stops(self) -> bool:
        """Whether it stops."""
        return not self.keeps

    @property
    def order(self) -> tuple[bool, float, tuple[float, ...]]:
        """Sorts from the dearest to the cheapest: stops first, then by cost, then the first in the order."""
        return (not self.stops, -self.cost, self.giver.rank)


@dataclass(frozen=True)
class Plan:
    """A place for a waiting job.

    Attributes:
        placement: what it claims.
        asks: of whom what is asked.
        spoiled: slots next to it that stay free, or are freed and not used: of two plans that cost the same, the one
            with fewer is better.
    """

    placement: Placement
    asks: tuple[Ask, ...] = ()
    spoiled: int = 0

    @property
    def cost(self) -> tuple[float, float, int, int, Placement]:
        """Sorts plans: what is lost by stops, then by shrinks, how many are asked; ties are broken by room and name."""
        stops = sum(ask.cost for ask in self.asks if ask.stops)
        shrinks = sum(ask.cost for ask in self.asks if not ask.stops)
        return (stops, shrinks, len(self.asks), self.spoiled, self.placement)


@dataclass
class Price:
    """What it costs to ask.

    Attributes:
        now: seconds since the epoch.
        stop: seconds without progress that a stop and its restart take.
        resize: that a resize takes.
    """

    now: float
    stop: float
    resize: float
    _lost: dict[str, float] = field(default_factory=dict)

    def of_stop(self, giver: Giver) -> Ask:
        """It loses what it did since its newest checkpoint, and the time of a restart, on all its slots.

        Where nothing is said of checkpoints it saves its state when it is asked to stop, and loses no work.
        """
        run = giver.running
        if run.job.id not in self._lost:
            done = 0.0 if run.saved is None else max(0.0, run.worked(self.now) - run.saved)
            self._lost[run.job.id] = (done / run.job.speed(run.workers) + self.stop) * run.slots
        return Ask(giver, (), run.placement, self._lost[run.job.id])

    def of_shrink(self, giver: Giver, gives: Placement) -> Ask:
        """It loses the time of a resize, and the more the larger a part of its speed the slots were."""
        run = giver.running
        less = dict(gives)
        keeps = tuple(Share(n, w - less.get(n, 0)) for n, w in run.placement if w > less.get(n, 0))
        before, after = run.job.speed(run.workers), run.job.speed(workers_of(keeps))
        freed = workers_of(gives) * giver.slots
        return Ask(giver, keeps, gives, self.resize * (1 + (before - after) / before * run.slots / freed) * run.slots)
