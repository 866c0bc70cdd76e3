"""`Allocation`: what the simulated engine knows of one allocation, and how a word of its script changes that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.testing.program import Effect


@dataclass(frozen=True)
class Allocation:
    """What the simulated engine knows of one allocation.

    Attributes:
        directory: the run's directory.
        argv: its script.
        placement: (node, slots) that it holds while it is pending or running.
        each: slots of one worker.
        token: the run's fencing token.
        launches: how often `launch` was called for it.
        starts: how often it was really started; never more than 1.
        position: the next word of the script.
        state: as `observe` tells it.
        failure_class: as `observe` tells it.
        stubborn: it ignores `stop`.
        stop_by: clock seconds at which a stop becomes a kill.
        growth: it joined a run that was under way.
        held: it must not start.
        priority: as the engine was told.
        number: what the engine calls it.
        asked: slots that it will hold once it is started, where the engine has a queue of its own.
        waits: code and words of why it is pending there.
        since: when it was started there.
    """

    directory: str
    argv: tuple[str, ...]
    placement: tuple[tuple[str, int], ...]
    each: int
    token: int
    launches: int = 1
    starts: int = 1
    position: int = 0
    state: str = "pending"
    failure_class: str | None = None
    stubborn: bool = False
    stop_by: float | None = None
    growth: bool = False
    held: bool = False
    priority: int = 0
    number: int = 0
    asked: int = 0
    waits: tuple[str, str] | None = None
    since: float | None = None

    @property
    def live(self) -> bool:
        """Whether it holds slots."""
        return self.state in {"pending", "running"}

    @property
    def slots(self) -> int:
        """How many, while it is live."""
        return sum(slots for _, slots in self.placement)


def read_allocation(document: Mapping[str, Any]) -> Allocation:
    """Of its JSON object."""
    placement = tuple((node, slots) for node, slots in document["placement"])
    waits = None if document["waits"] is None else tuple(document["waits"])
    return Allocation(**{**document, "argv": tuple(document["argv"]), "placement": placement, "waits": waits})


def after(old: Allocation, effect: Effect, free: Mapping[str, int]) -> Allocation:
    """What it is after a word."""
    return replace(
        old,
        state=effect.state or old.state,
        failure_class=effect.failure_class or old.failure_class,
        stubborn=old.stubborn or effect.stubborn,
        placement=_placed_after(old, effect, free),
    )


def _placed_after(old: Allocation, effect: Effect, free: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Where its control.json says: nobody else is there. Without such a word the engine chooses."""
    if effect.placement is not None:
        held, placement = dict(old.placement), tuple((node, workers * old.each) for node, workers in effect.placement)
        assert all(slots <= free.get(node, 0) + held.get(node, 0) for node, slots in placement), (placement, free)
        return placement
    return old.placement if effect.workers is None else _resized(old, effect.workers * old.each, free)


def _resized(old: Allocation, slots: int, free: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """It gives up what it holds last, and takes what is free, first where it is already."""
    shares: dict[str, int] = {}
    for node, held in old.placement:
        shares[node] = min(held, slots - sum(shares.values()))
    for node in sorted(free, key=lambda name: (name not in shares, name)):
        more = min(max(0, free[node]), slots - sum(shares.values())) // old.each * old.each
        shares[node] = shares.get(node, 0) + more
    return tuple((node, held) for node, held in shares.items() if held)
