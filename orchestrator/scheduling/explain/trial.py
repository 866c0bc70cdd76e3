"""`Trial`: remedies are tried on the snapshot before they are told, a limited number of times."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.scheduling.explain.confirm import starts
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.types import Cure, Remedy
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Policy

_TRIES = 40, 200
"""Tries that one question may cost: the fewest, in a long queue, and the most."""
_WORK = 200_000
"""Jobs that one question may look at in all, where that leaves the fewest tries."""


class Trial:
    """Tries what would start one job.

    Attributes:
        snapshot: as it is.
        policy: what is decided by.
        first: what must be so before all else: the hold on the job is lifted, its dependencies have succeeded.
        scene: how things stand once that is so.
        job: that waits, once that is so.
        asked: what the policy gives it at least.
    """

    def __init__(self, snapshot: Snapshot, policy: Policy, job: str, first: Remedy | None) -> None:
        self.snapshot = snapshot
        self.policy = policy
        self.first = first
        self.base = snapshot if first is None else first.apply(snapshot)
        self.scene = Scene(self.base, policy)
        self.job: Job = self.scene.before.pending[job]
        self.asked = self.scene.asked(self.job)
        jobs = 1 + len(snapshot.pending) + len(snapshot.running)
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

    def works(self, remedy: Remedy) -> bool:
        """Whether the job starts with it; a remedy that cannot be tried any more does not work."""
        self._left -= 1
        if self._left < 0:
            return False
        return starts(self.joined(remedy).apply(self.snapshot), self.policy, self.job.id) is not None

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
