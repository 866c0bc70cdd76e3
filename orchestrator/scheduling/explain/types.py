"""What an answer to "why does this job wait?" holds: the reason, and remedies that were tried on the snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.scheduling.deltas import Delta
from orchestrator.scheduling.state import State


class Cure(StrEnum):
    """What kind of thing would start a job."""

    WAIT = "wait"  # nobody needs to do anything
    RELEASE = "release"  # the hold on it is lifted
    DEPENDENCY = "dependency"  # the jobs that it waits for succeed
    PRIORITY = "priority"  # it gets a higher priority
    SHORTER = "shorter"  # it says that it takes no longer than so long
    NARROWER = "narrower"  # it asks for fewer workers
    ANYWHERE = "anywhere"  # it asks for less of a place
    RESUME = "resume"  # nodes take work again
    NODES = "nodes"  # nodes are added
    TEAM = "team"  # its team may hold more
    CANCEL = "cancel"  # other jobs end
    HOLD = "hold"  # other jobs that wait step back


@dataclass(frozen=True)
class Remedy:
    """Something that would start the job, tried out: with it, `decide` starts the job, or frees room and then does.

    Attributes:
        kind: what it is about.
        text: what is to be done, in words and numbers.
        command: that does it; None where no command does.
        deltas: what would then be true.
        at: when, in seconds since the epoch; None: at once.
    """

    kind: Cure
    text: str
    command: str | None = None
    deltas: tuple[Delta, ...] = ()
    at: float | None = None

    def apply(self, state: State, now: float) -> tuple[State, float]:
        """A copy of the state as it would be, and when that is."""
        after, at = state.copy(), now if self.at is None else max(self.at, now)
        for delta in self.deltas:
            after.apply(delta, at)
        return after, at


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits.

    Attributes:
        job: its identifier.
        kind: what it waits for.
        text: for people, with numbers; the same as long as what it says is.
        short: the same in a few words, for tables.
        since: since when it waits, in seconds since the epoch.
        until: when the wait ends by itself; None where nobody knows.
        expected: when there should be room for it by what is known of running jobs, if nobody came before; None where
            nobody has an idea.
        ahead: so many jobs are before it in the order.
        remedies: what would start it; empty where nothing was tried.
    """

    job: str
    kind: Waiting
    text: str
    short: str
    since: float
    until: float | None = None
    expected: float | None = None
    ahead: int = 0
    remedies: tuple[Remedy, ...] = ()
