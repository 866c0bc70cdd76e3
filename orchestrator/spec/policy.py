"""How a queue is served: an order, a rule for those who cannot go first, what running jobs may be asked."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from orchestrator.spec.base import Document, Line
from orchestrator.spec.units import Duration

OrderName = Literal["fifo", "priority", "fair", "attained", "shortest"]


def _ascending(thresholds: list[float]) -> list[float]:
    if any(low >= high for low, high in pairwise(thresholds)):
        raise ValueError("each is above the one before")
    return thresholds


class Order(Document):
    """Who goes first. Ties are broken by the order of submission, so that it is total."""

    by: OrderName = Field(
        default="priority",
        description="fifo: submission; priority; fair: shares of teams; attained: least service so far (Tiresias); "
        "shortest: least expected remaining time; the last two by priority first",
    )
    aging: Duration | None = Field(
        default=None, gt=0, description="waiting so long is worth one point of priority (orders priority and fair)"
    )
    age_weight: float = Field(default=1.0, ge=0, description="fair: weight of the hours of waiting")
    share_weight: float = Field(default=100.0, ge=0, description="fair: weight of what a team is below its share")
    priority_weight: float = Field(default=1.0, ge=0, description="fair: weight of a point of priority")
    size_weight: float = Field(default=0.0, description="fair: weight of a slot asked for; negative: small ones first")
    half_life: Duration = Field(default=7 * 86_400.0, gt=0, description="fair: usage counts half after so long")
    thresholds: Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(_ascending)] = Field(
        default_factory=lambda: [3_600.0 * 4**i for i in range(5)],
        max_length=30,
        description="attained: slot-seconds at which a job sinks to the next queue, ascending",
    )
    overdue: Duration | None = Field(
        default=None, gt=0, description="who waits longer than this goes before all others, oldest first"
    )


class Preemption(Document):
    """When a running job may be stopped for another one; it goes on later from its newest checkpoint."""

    for_whom: Literal["earlier", "priority", "quota"] = Field(
        default="priority",
        description="earlier: whoever is earlier in the order; priority: only higher priority; "
        "quota: only a team within its quota",
    )
    min_run: Duration = Field(
        default=600.0,
        description="a run is not stopped before it has had so long; with quota, so long again for "
        "each time that its job was preempted",
    )
    immune_after: int = Field(default=3, ge=0, description="a job that was preempted so often is not preempted again")
    margin: float = Field(
        default=0.0, ge=0, le=1, description="shortest: only where the newcomer needs this fraction less"
    )
    price: Duration = Field(default=30.0, description="seconds without progress that a stop and a restart cost")
    returned_after: Duration | None = Field(
        default=None,
        description="a job that was preempted has others stopped only once it has waited so long; never by default",
    )

    def least_run(self, preemptions: int) -> float:
        """Seconds that a run has at least, of a job that was preempted so often.

        Where teams take quotas back, who was stopped last has the least to lose, and would be stopped first again.
        """
        return self.min_run * (1 + preemptions) if self.for_whom == "quota" else self.min_run


class Elastic(Document):
    """Whether the policy chooses widths between `workers.min` and `workers.max`, at the start and later."""

    start: Literal["widest", "narrow"] = Field(
        default="narrow",
        description="narrow: under load jobs start with their fewest workers; widest: with what is free",
    )
    shrink: Literal["never", "earlier", "always"] = Field(
        default="always",
        description="running jobs give slots up to let others in; earlier: only those that are earlier in the order",
    )
    grow: Literal["never", "fastest", "order"] = Field(
        default="fastest",
        description="running jobs take what is idle; fastest: whom a slot makes faster by most; order: the first ones",
    )
    floor: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="no job gets fewer than this part of its most workers, rounded (0.6: 1 of 2, 2 of 4, 5 of 8)",
    )
    room_for: Literal["fewest", "most"] = Field(
        default="fewest",
        description="what room is made for: the fewest workers; most: all, and the fewest only where that fails",
    )
    price: Duration = Field(default=30.0, description="seconds without progress that a resize is reckoned to cost")
    between: Duration = Field(default=60.0, description="least time between two resizes of one run")
    pays_within: float = Field(
        default=1.0, gt=0, description="a growth must save at least this many times its price of the remaining time"
    )

    def fewest(self, least: int, most: int) -> int:
        """Workers below which this policy does not go by itself, of a job that has so many at least and at most."""
        return max(least, math.floor(self.floor * most + 0.5))


class Policy(Document):
    """A policy, put together from its parts."""

    name: Line = "default"
    order: Order = Order()
    backfill: Literal["none", "skip", "easy", "conservative"] = Field(
        default="easy",
        description="none: the first that does not fit holds back all after it; skip: others pass it, unless it is "
        "overdue: then as easy; easy: others pass where they do not delay its reservation; conservative: where they "
        "delay nobody's",
    )
    depth: Annotated[int, Field(ge=1)] = Field(default=1000, description="conservative: so many reservations at most")
    preemption: Preemption | None = None
    elastic: Elastic | None = None
    protect_late: Duration | None = Field(
        default=None,
        gt=0,
        description="gangs larger than a node that have lost more than this (time since submission less work done) "
        "grow first, and are not preempted if they are at most an eighth of the cluster",
    )
    asks_after: Duration = Field(
        default=0.0, description="running jobs are stopped or shrunk only for who has waited so long"
    )
    round: Duration = Field(default=60.0, gt=0, description="widths and places of running jobs are looked at so often")

    @property
    def looks_at_priorities(self) -> bool:
        """Whether a job's priority changes anything."""
        if self.preemption is not None and self.preemption.for_whom == "priority":
            return True
        return self.order.by != "fifo" and (self.order.by != "fair" or self.order.priority_weight > 0)

    @property
    def priority_note(self) -> str:
        """What somebody who changes a priority must know; empty where it does what they expect."""
        if self.looks_at_priorities:
            return ""
        by = "submission" if self.order.by == "fifo" else "the shares of teams"
        return f"policy {self.name} orders by {by}: priority is not looked at"
