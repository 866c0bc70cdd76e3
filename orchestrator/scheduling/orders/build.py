"""From a policy's section to its ranking."""

from __future__ import annotations

from orchestrator.scheduling.orders.ranking import Ranking
from orchestrator.scheduling.orders.simple import Priority, Submission
from orchestrator.spec.policy import Order


def ranking(order: Order) -> Ranking:
    """The order that a policy names."""
    if order.by == "fifo":
        return Submission()
    return Priority(aging=order.aging)
