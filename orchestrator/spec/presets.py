"""Policies by name: what a profile's `policy:` and the simulator's `--policy` may say."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.spec.diagnostics import did_you_mean
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption

_HOUR = 3_600.0
_DAY = 24 * _HOUR

PRESETS: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            name="default",
            order=Order(by="shortest", overdue=14 * _DAY),
            backfill="skip",
            preemption=Preemption(for_whom="earlier", min_run=300.0, immune_after=20, margin=0.5),
            elastic=Elastic(
                start="widest",
                shrink="earlier",
                grow="order",
                floor=0.6,
                room_for="most",
                between=300.0,
                pays_within=2.0,
            ),
            protect_late=6 * _HOUR,
            asks_after=60.0,
        ),
        Policy(name="fifo", order=Order(by="fifo"), backfill="none"),
        Policy(
            name="priority",
            order=Order(by="priority", aging=_HOUR),
            backfill="easy",
            preemption=Preemption(for_whom="priority"),
        ),
        Policy(name="easy", order=Order(by="fifo"), backfill="easy"),
        Policy(name="conservative", order=Order(by="fifo"), backfill="conservative"),
        Policy(name="sjf", order=Order(by="shortest"), backfill="skip"),
        Policy(
            name="srtf",
            order=Order(by="shortest"),
            backfill="skip",
            preemption=Preemption(for_whom="earlier", min_run=300.0, returned_after=300.0),
        ),
        Policy(
            name="las",
            order=Order(by="attained"),
            backfill="skip",
            preemption=Preemption(for_whom="earlier", min_run=300.0, immune_after=10, returned_after=300.0),
        ),
        Policy(name="fair", order=Order(by="fair"), backfill="easy", preemption=Preemption(for_whom="quota")),
        Policy(name="elastic", order=Order(by="fifo"), backfill="skip", elastic=Elastic()),
    )
}


def preset(name: str) -> Policy:
    """The policy of this name.

    Raises:
        ValueError: there is none; the message names those that there are.
    """
    found = PRESETS.get(name)
    if found is None:
        raise ValueError(f"there is no policy {name!r}; {did_you_mean(name, list(PRESETS))}")
    return found
