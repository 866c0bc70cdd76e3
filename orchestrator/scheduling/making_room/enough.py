"""Which of those who could be asked are asked: the cheapest that are enough, and nobody who can be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement, Share, workers_of
from orchestrator.scheduling.making_room.plans import Ask, Price
from orchestrator.scheduling.making_room.rules import Claimant

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft

Fits = Callable[[], bool]


class Trial:
    """Asks that are tried on `draft.later` and on its book, and taken back by `undo`."""

    def __init__(self, draft: Draft, claimant: Claimant) -> None:
        self._asks: dict[int, Ask] = {}
        self._draft, self._claimant = draft, claimant
        self._taken: list[Placement] = []

    @property
    def asks(self) -> list[Ask]:
        """Tried now."""
        return list(self._asks.values())

    def allows(self, ask: Ask) -> bool:
        """Whether the giver's team can do without that, beside what is tried already."""
        return ask.slots <= self._draft.book.spare(ask.giver.running.job.team, self._claimant.job.team)

    def add(self, ask: Ask) -> None:
        """Ask it too."""
        self._draft.later.give(ask.gives, ask.giver.running.job.demand)
        self._draft.book.give_up(ask.giver.running.job.team, ask.slots)
        self._asks[id(ask)] = ask

    def remove(self, ask: Ask) -> None:
        """Do not ask it."""
        self._draft.later.take(ask.gives, ask.giver.running.job.demand)
        self._draft.book.give_up(ask.giver.running.job.team, -ask.slots)
        del self._asks[id(ask)]

    def take(self, placement: Placement) -> None:
        """A part of the claimant lies there, until `release`."""
        self._draft.later.take(placement, self._claimant.job.demand)
        self._taken.append(placement)

    def release(self) -> None:
        """No part of the claimant lies anywhere."""
        for placement in self._taken:
            self._draft.later.give(placement, self._claimant.job.demand)
        self._taken.clear()

    def undo(self) -> None:
        """The draft is as it was."""
        self.release()
        for ask in self.asks:
            self.remove(ask)

    def drop(self, fits: Fits) -> None:
        """Ask nobody who can be left out, the dearest first; it fits now."""
        for ask in sorted(self.asks, key=lambda a: a.dear_first):
            self.remove(ask)
            if not fits():
                self.add(ask)

    def spare(self, fits: Fits, price: Price) -> None:
        """Ask nobody for more workers than are needed, the dearest first; gangs on several nodes give whole nodes."""
        for ask in sorted(self.asks, key=lambda a: a.dear_first):
            run, gives = ask.giver.running, workers_of(ask.gives)
            if ask.stops or len(ask.gives) > 1 or (run.job.demand.packed and len(ask.giver.placement) > 1):
                continue
            for fewer in range(1, gives):
                less = price.of_shrink(ask.giver, (Share(ask.gives[0].node, fewer),))
                self.remove(ask)
                self.add(less)
                if fits():
                    break
                self.remove(less)
                self.add(ask)


def enough(draft: Draft, claimant: Claimant, asks: Iterable[Ask], fits: Fits, missing: int = 0) -> list[Ask] | None:
    """Those to be asked; None where all of them are not enough. The draft is as it was afterwards.

    Args:
        draft: what is decided so far.
        claimant: for whom.
        asks: in the order in which they are tried.
        fits: whether the claimant fits on `draft.later`, on which the asks are tried.
        missing: before so many slots are given up it does not.
    """
    trial = Trial(draft, claimant)
    found = missing <= 0 and fits()
    for ask in asks:
        if found:
            break
        if trial.allows(ask):
            trial.add(ask)
            missing -= ask.slots
            found = missing <= 0 and fits()
    if found:
        trial.drop(fits)
    chosen = trial.asks
    trial.undo()
    return chosen if found else None


def place(draft: Draft, claimant: Claimant) -> Placement | None:
    """Where the claimant fits on `draft.later`."""
    return draft.later.fit(claimant.job.demand, claimant.workers, draft.now, claimant.until)


def leanest(draft: Draft, claimant: Claimant, price: Price, asks: Iterable[Ask]) -> tuple[Placement, list[Ask]] | None:
    """Those of `asks` without whom it fits nowhere, and where it fits with them; None: not even with all of them."""
    trial = Trial(draft, claimant)
    for ask in asks:
        trial.add(ask)

    def fits() -> bool:
        return place(draft, claimant) is not None

    if fits():
        trial.drop(fits)
        trial.spare(fits, price)
    found, chosen = place(draft, claimant), trial.asks
    trial.undo()
    return None if found is None else (found, chosen)
