"""From a policy's section to its ranking."""

from __future__ import annotations

from orchestrator.scheduling.orders.attained import Attained
from orchestrator.scheduling.orders.fair import Fair
from orchestrator.scheduling.orders.overdue import Overdue
from orchestrator.scheduling.orders.ranking import Ranking
from orchestrator.scheduling.orders.shortest import Shortest
from orchestrator.scheduling.orders.simple import Priority, Submission
from orchestrator.spec.policy import Order


def ranking(order: Order) -> Ranking:
    """The order that a policy names."""
    plain = _plain(order)
    return plain if order.overdue is None else Overdue(plain, order.overdue)


def _plain(order: Order) -> Ranking:
    match order.by:
        case "fifo":
            return Submission()
        case "priority":
            return Priority(aging=order.aging)
        case "attained":
            return Attained(tuple(order.thresholds))
        case "shortest":
            return Shortest()
        case "fair":
            return Fair(
                age_weight=order.age_weight,
                share_weight=order.share_weight,
                priority_weight=order.priority_weight,
                size_weight=order.size_weight,
                half_life=order.half_life,
                aging=order.aging,
            )
