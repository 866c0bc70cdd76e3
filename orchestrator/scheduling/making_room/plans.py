"""What is asked of whom for one waiting job, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.scheduling.cluster import Placement, Share, workers_of
from orchestrator.scheduling.givers import Giver
from orchestrator.scheduling.jobs import Running

_SAVING_FAILS = 0.02
"""Share of the stops in which a run is taken to die before it has saved its state: assumed, not measured."""

_DELAY = 8
"""Slots that each stop counts for beside those that are stopped: somebody waits for it, however small it is."""


def lost_by_stop(run: Running, now: float) -> float:
    """Seconds of work at full width that a stop loses: what was done since the newest checkpoint.

    Who saves its state when it is asked to stop loses that work only where the saving fails; where nothing is said of
    checkpoints no work is lost.
    """
    done = 0.0 if run.saved is None else max(0.0, run.worked(now) - run.saved)
    return done * (_SAVING_FAILS if run.saves else 1.0)


@dataclass(frozen=True)
class Ask:
    """One running job gives something up.

    Attributes:
        giver: who.
        keeps: what it holds afterwards; nothing: it stops.
        gives: what it gives up.
        cost: of a stop the slot-seconds that are lost, of a shrink the part of the job's full speed.
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
    def slots(self) -> int:
        """That it gives up."""
        return workers_of(self.gives) * self.giver.slots

    @property
    def dear_first(self) -> tuple[object, ...]:
        """Sorts from the dearest to the cheapest: stops first, then by cost; of two, the first in the order."""
        return (not self.stops, -self.cost, self.giver.rank)

    @property
    def cheap_first(self) -> tuple[object, ...]:
        """Sorts shrinks before stops, then by what is lost for a slot; of two, the last in the order first."""
        return (self.stops, self.cost / self.slots, tuple(-part for part in self.giver.rank))


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
    def cost(self) -> tuple[object, ...]:
        """Sorts plans: what is lost by stops; how many are asked; what is lost by shrinks; room; who is last."""
        stops = sum(ask.cost for ask in self.asks if ask.stops)
        shrinks = sum(ask.cost for ask in self.asks if not ask.stops)
        ranks = tuple(sorted(tuple(-part for part in ask.giver.rank) for ask in self.asks))
        return (stops, len(self.asks), shrinks, self.spoiled, ranks, self.placement)


@dataclass
class Price:
    """What it costs to ask.

    Attributes:
        now: seconds since the epoch.
        stop: seconds without progress that a stop and its restart take.
    """

    now: float
    stop: float
    _lost: dict[str, float] = field(default_factory=dict)

    def of_stop(self, giver: Giver) -> Ask:
        """All of it is asked for."""
        return Ask(giver, (), giver.placement, self.stop_cost(giver))

    def stop_cost(self, giver: Giver) -> float:
        """It loses some work, and the time of a restart, on all its slots and some more."""
        run = giver.running
        if run.job.id not in self._lost:
            lost = lost_by_stop(run, self.now) / run.job.speed(run.workers)
            self._lost[run.job.id] = (lost + self.stop) * (run.slots + _DELAY)
        return self._lost[run.job.id]

    def of_shrink(self, giver: Giver, gives: Placement) -> Ask:
        """What counts is the part of its full speed that it loses."""
        job, held = giver.running.job, workers_of(giver.placement)
        less = dict(gives)
        keeps = tuple(Share(n, w - less.get(n, 0)) for n, w in giver.placement if w > less.get(n, 0))
        return Ask(giver, keeps, gives, job.speed(held) - job.speed(workers_of(keeps)))
