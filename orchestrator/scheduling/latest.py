"""`Latest`: how far back in the order running jobs can be for a while, so that not each is ranked in each decision."""

from __future__ import annotations

from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.orders.ranking import Key, Ranking

_FOR = 300.0
"""Seconds for which a bound holds at least. Some hold for twice as long, so that not all end at once."""


class Latest:
    """Bounds by job. One holds for its very record of the running job: a record that has changed gets another."""

    __slots__ = ("_of", "_ranking")

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._of: dict[str, tuple[Running, float, Key]] = {}

    def copy(self) -> Latest:
        """One that can be changed by itself."""
        other = Latest(self._ranking)
        other._of = self._of.copy()
        return other

    def key(self, running: Running, now: float) -> Key:
        """No later in the order than this is what the ranking says of it now, the offset of its group aside."""
        found = self._of.get(running.job.id)
        if found is not None and found[0] is running and now <= found[1]:
            return found[2]
        until = now + _FOR * (1 + running.job.sequence % 16 / 16)
        key = self._ranking.latest_key(running, now, until)
        self._of[running.job.id] = running, until, key
        return key

    def forget(self, job: str) -> None:
        """It runs no longer."""
        self._of.pop(job, None)
