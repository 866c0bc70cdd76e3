"""`Trial`: remedies are tried on the snapshot before they are told, a limited number of times."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.scheduling.explain.confirm import starts
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.types import Cure, Remedy
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.state import State

_TRIES = 40, 200
"""Tries that one question may cost: the fewest, in a long queue, and the most."""
_WORK = 200_000
"""Jobs that one question may look at in all, where that leaves the fewest tries."""


class Trial:
    """Tries what would start one job.

    Args:
        today: how things stand.
        job: that waits.
        first: what must be so before all else: the hold on the job is lifted, its dependencies have succeeded.

    Attributes:
        policy: what is decided by.
        first: the same.
        scene: how things stand once that is so.
        job: that waits, once that is so.
        asked: what the policy gives it at least.
    """

    def __init__(self, today: Scene, job: str, first: Remedy | None) -> None:
        self._today = today
        self.policy = today.policy
        self.first = first
        self.scene = today if first is None else _scene(today, first)
        self.job: Job = self.scene.before.pending[job]
        self.asked = self.scene.asked(self.job)
        jobs = 1 + len(today.before.pending) + len(today.before.running)
        self._left = max(_TRIES[0], min(_TRIES[1], _WORK // jobs))

    def joined(self, remedy: Remedy) -> Remedy:
        """A remedy after what must be so before."""
        if self.first is None:
            return remedy
        both_wait = self.first.kind is Cure.WAIT and self.first.at is not None and remedy.kind is Cure.WAIT
        ats = [at for at in (self.first.at, remedy.at) if at is not None]
        return Remedy(
            kind=remedy.kind,
            text=remedy.text if both_wait else f"{self.first.text}, and {remedy.text}",
            command=None if remedy.command is None or self.first.command is None else remedy.command,
            deltas=(*self.first.deltas, *remedy.deltas),
            at=max(ats, default=None),
        )

    def then(self, first: Remedy) -> Trial:
        """What else would start it once that is so, too."""
        return Trial(self._today, self.job.id, self.joined(first))

    def works(self, remedy: Remedy) -> bool:
        """Whether the job starts with it; a remedy that cannot be tried any more does not work."""
        self._left -= 1
        if self._left < 0:
            return False
        return starts(*self.after(remedy), self.policy, self.job.id) is not None

    def after(self, remedy: Remedy) -> tuple[State, float]:
        """How things are with it, and when; a copy."""
        return self.joined(remedy).apply(self._today.before, self._today.now)

    def least(self, low: int, high: int, remedy: Callable[[int], Remedy]) -> Remedy | None:
        """The remedy with the smallest number from `low` to `high` that works, where more never hurts."""
        if low > high or not self.works(best := remedy(high)):
            return None
        while low < high:
            middle = (low + high) // 2
            if self.works(tried := remedy(middle)):
                high, best = middle, tried
            else:
                low = middle + 1
        return best

    def fewest(self, names: list[str], remedy: Callable[[list[str]], Remedy]) -> Remedy | None:
        """The remedy for as few of the names as it takes: each is left out where it works without."""
        if not names or not self.works(remedy(names)):
            return None
        for name in reversed(names):
            fewer = [other for other in names if other != name]
            if fewer and self.works(remedy(fewer)):
                names = fewer
        return remedy(names)


def _scene(today: Scene, first: Remedy) -> Scene:
    state, now = first.apply(today.before, today.now)
    return Scene(state, today.policy, now, today.told)
