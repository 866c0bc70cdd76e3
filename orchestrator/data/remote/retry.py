"""Trying again: exponential back-off with full jitter, a bound on tries and on the time without progress."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.base.clock import Clock, SystemClock
from orchestrator.base.errors import RemoteUnavailable
from orchestrator.data.remote.errors import Meaning, ObjectChanged, ObjectMissing, meaning, wording

T = TypeVar("T")
LOG = logging.getLogger(__name__)
"""Told of every pause, for whoever waits at a terminal."""

_HINTS = {
    Meaning.AGAIN: "check the network and the store, then start again: what was fetched is kept and used",
    Meaning.REFUSED: "check the credentials in the environment and the rights on the bucket",
}


@dataclass(frozen=True)
class Patience:
    """How long a store is given.

    Attributes:
        tries: requests without progress before giving up.
        first_seconds: the longest pause after the first failure; it doubles with each further one.
        longest_seconds: the longest pause at all.
        stalled_seconds: the longest time without progress.
        connect_seconds: for a connection.
        read_seconds: without a byte of an answer.
        request_seconds: for one request as a whole, however it trickles.
        idle_seconds: for another process of the node, which has the turn to fetch something and writes nothing.
    """

    tries: int = 8
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    stalled_seconds: float = 600.0
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    request_seconds: float = 300.0
    idle_seconds: float = 120.0

    def pause(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures in a row; `chance` in 0..1 is the jitter."""
        return chance * float(min(self.longest_seconds, self.first_seconds * 2 ** (failures - 1)))


class Attempts:
    """The tries at one object.

    Args:
        what: the object for messages: its URL and rows.
        patience: how long to go on.
        clock: to wait with.
        chance: random numbers in 0..1.
    """

    def __init__(
        self, what: str, patience: Patience, clock: Clock | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        self._what = what
        self._patience = patience
        self._clock = clock or SystemClock()
        self._chance = chance
        self._failures = 0
        self._tried = 0
        self._since = self._clock.monotonic()

    def run(self, action: Callable[[], T]) -> T:
        """The result of `action`, tried until it succeeds.

        Raises:
            ObjectMissing: there is no such object.
            ObjectChanged: it is another one than before.
            RemoteUnavailable: refused, or tried often enough.
        """
        while True:
            try:
                result = action()
            except Exception as error:  # each driver has errors of its own
                self.failed(error)
            else:
                self.progressed()
                return result

    def progressed(self) -> None:
        """Something came: patience starts anew."""
        self._failures = 0
        self._since = self._clock.monotonic()

    def failed(self, error: Exception) -> None:
        """Wait before the next try; raises where there is to be none."""
        self._failures += 1
        self._tried += 1
        what = meaning(error)
        if what is Meaning.FOREIGN:
            raise error
        if what is Meaning.MISSING:
            raise ObjectMissing(f"{self._what} is not there ({wording(error)})") from error
        if what is Meaning.CHANGED:
            raise ObjectChanged(f"{self._what} has changed ({wording(error)})") from error
        pause = self._patience.pause(self._failures, self._chance())
        stalled = self._clock.monotonic() - self._since
        over = self._failures >= self._patience.tries or stalled + pause > self._patience.stalled_seconds
        if what is Meaning.REFUSED or over:
            raise self._given_up(what, stalled, error) from error
        LOG.info("retrying (%d of %d): %s: %s", self._failures + 1, self._patience.tries, self._what, wording(error))
        self._clock.sleep(pause)

    def _given_up(self, what: Meaning, stalled: float, error: Exception) -> RemoteUnavailable:
        if what is Meaning.REFUSED:
            return RemoteUnavailable(f"{self._what} is refused: {wording(error)}", hint=_HINTS[what])
        tried = f"tried {self._tried} times, for {stalled:.1f} s without progress"
        return RemoteUnavailable(
            f"{self._what} cannot be fetched: {tried}; the last time: {wording(error)}", hint=_HINTS[what]
        )
