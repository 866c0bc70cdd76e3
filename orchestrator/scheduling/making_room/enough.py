"""Which of those who could be asked are asked: the cheapest that are enough, and nobody who can be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.making_room.plans import Ask
from orchestrator.scheduling.making_room.rules import Claimant

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


def enough(
    draft: Draft, claimant: Claimant, asks: Iterable[Ask], fits: Callable[[], bool], missing: int = 0
) -> list[Ask] | None:
    """Those to be asked; None where all of them are not enough. The draft is as it was afterwards.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        asks: in the order in which they are tried; a stop of one who shrinks already is tried instead of that.
        fits: whether the claimant fits on `draft.later`, on which the asks are tried.
        missing: before so many slots are given up it does not.
    """
    given: list[Ask] = []
    found = missing <= 0 and fits()
    for ask in asks:
        if found:
            break
        if ask.slots <= draft.book.spare(ask.giver.running.job.team, claimant.job.team):
            _try(draft, ask, given)
            missing -= ask.slots
            found = missing <= 0 and fits()
    for ask in sorted(given, key=lambda a: a.dear_first) if found else ():
        _undo(draft, ask, given)
        if not fits():
            _try(draft, ask, given)
    chosen = list(given)
    for ask in chosen:
        _undo(draft, ask, given)
    return chosen if found else None


def _try(draft: Draft, ask: Ask, given: list[Ask]) -> None:
    draft.later.give(ask.gives, ask.giver.running.job.demand)
    draft.book.give_up(ask.giver.running.job.team, ask.slots)
    given.append(ask)


def _undo(draft: Draft, ask: Ask, given: list[Ask]) -> None:
    draft.later.take(ask.gives, ask.giver.running.job.demand)
    draft.book.give_up(ask.giver.running.job.team, -ask.slots)
    given.remove(ask)
