"""One thread that looks at Slurm for all allocations, at a bounded rate whatever their number."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from orchestrator.backends.protocol import Observation
from orchestrator.backends.slurm.census import Census
from orchestrator.backends.slurm.commands import PATIENCE, Slurm
from orchestrator.backends.slurm.inventory import NodeRow, PartitionRow
from orchestrator.backends.slurm.look import Sight
from orchestrator.backends.slurm.lookout import Lookout
from orchestrator.backends.slurm.states import Asked
from orchestrator.base.clock import Clock, SystemClock
from orchestrator.base.errors import BackendUnavailable

__all__ = ["Asked", "Sight", "Watch"]

_LOG = logging.getLogger(__name__)

R = TypeVar("R")

_LONGEST_SLEEP = 3600.0
_FRESH = 1.5 * PATIENCE
"""Seconds that a look which begins now may take, with the one before it."""
_FIRST = 5.0
"""Seconds for which somebody who asks waits for the very first answer of a kind."""


class Watch:
    """Looks at Slurm for all. Threads may share it; its own is started by the first call that needs it.

    In the long run Slurm is asked once in `look_every` for its queue, and once in six times that for its nodes and for
    accounting each: with 10 s, 8 questions a minute.

    Args:
        slurm: the programs.
        look_every: seconds between two looks at the queue.
        clock: what time it is.
    """

    def __init__(self, slurm: Slurm, *, look_every: float = 10.0, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lookout = Lookout(slurm, look_every, self._clock)
        self._census = Census(slurm, look_every * 6, self._clock)
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._gave_up: BackendUnavailable | None = None
        self._wakes_at = -math.inf

    def observe(self, asked: Sequence[Asked]) -> Mapping[str, Observation]:
        """What is known of each, from the newest look; waits for the very first look only.

        Raises:
            BackendUnavailable: the newest look failed.
        """
        self._first_look()
        return self._lookout.observe(asked)

    def sight(self, allocation: str) -> Sight | None:
        """One allocation in the newest look; None where that did not show it. After `fresh`: a certain answer.

        Raises:
            BackendUnavailable: the newest look failed, or cannot be read in full and shows no living job of it.
        """
        self._first_look()
        return self._lookout.sight(allocation)

    def fresh(self, *, patience: float = _FRESH) -> None:
        """Wait for a look that begins after this call.

        Raises:
            BackendUnavailable: it failed, or there was none within `patience` seconds.
        """
        ticket = self._lookout.want()
        self._await(lambda: self._lookout.ended_since(ticket), patience)
        self._lookout.check()

    def heard(self) -> None:
        """Nothing, unless Slurm is known to be silent; waits for no look.

        Raises:
            BackendUnavailable: the newest look failed, or what Slurm was asked takes too long.
        """
        self._lookout.heard()

    def changed(self) -> None:
        """Something was done to an allocation of ours: look soon."""
        self._lookout.changed()
        self._wake()

    @contextmanager
    def launching(self, allocation: str) -> Iterator[None]:
        """While Slurm is asked for an allocation: until a look that begins after it, not to be seen means nothing."""
        self._lookout.launching(allocation)
        try:
            yield
        finally:
            self._lookout.launched(allocation)
            self._wake()

    def nodes(self) -> tuple[NodeRow, ...]:
        """All nodes, not older than a few minutes; waits for the very first count only.

        Raises:
            BackendUnavailable: Slurm does not tell.
        """
        return self._counted(self._census.nodes)

    def partitions(self) -> tuple[PartitionRow, ...]:
        """All partitions, not older than a few minutes; waits for the very first count only.

        Raises:
            BackendUnavailable: Slurm does not tell.
        """
        return self._counted(self._census.partitions)

    def counted_at(self) -> float | None:
        """When the nodes were counted last, in seconds since the epoch; None where they were not yet."""
        return self._census.counted_at()

    def close(self) -> None:
        """End the thread; whoever waits for it is told that Slurm does not answer."""
        with self._news:
            self._closed = True
            self._news.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=1.0)

    def _first_look(self) -> None:
        self._lookout.touch()
        self._first(lambda: self._lookout.tried)

    def _counted(self, of: Callable[[], tuple[R, ...] | None]) -> tuple[R, ...]:
        self._first(lambda: of() is not None)
        return of() or ()

    def _first(self, condition: Callable[[], bool]) -> None:
        """Wait for the first answer of a kind; not again while the thread waits for the same program."""
        if (gave_up := self._gave_up) is not None and not condition():
            raise gave_up
        try:
            self._await(condition, _FIRST)
        except BackendUnavailable as error:
            self._gave_up = error
            raise

    def _await(self, condition: Callable[[], bool], patience: float) -> None:
        """Wait until the thread has brought something about."""
        if condition():
            self._wake()
            return
        with self._news:
            self._wake()
            there = self._news.wait_for(lambda: self._closed or condition(), patience)
            if self._closed or not there:
                who = self._lookout.asked or "Slurm"
                said = f"{who} did not answer within {patience:g} s"
                raise BackendUnavailable(
                    "Slurm is no longer looked at" if self._closed else said,
                    hint="see whether slurmctld answers: scontrol ping",
                )

    def _wake(self) -> None:
        """Let the thread run where something is due before it would wake by itself; start it where there is none."""
        with self._news:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="slurm-watch", daemon=True)
                self._thread.start()
            elif self._clock.monotonic() + self._due() < self._wakes_at:
                self._news.notify_all()

    def _due(self) -> float:
        now = self._clock.monotonic()
        return min(self._lookout.due(now), self._census.due(now))

    def _run(self) -> None:
        while self._sleep():
            try:
                self._step()
            except Exception:  # one bad look is not the end of all
                _LOG.exception("a look at Slurm failed")
            self._gave_up = None
            with self._news:
                self._news.notify_all()

    def _sleep(self) -> bool:
        """Until something is due; False where the watch is over."""
        with self._news:
            while not self._closed and (delay := self._due()) > 0:
                self._wakes_at = self._clock.monotonic() + delay
                self._news.wait(min(delay, _LONGEST_SLEEP))
            self._wakes_at = -math.inf
            return not self._closed

    def _step(self) -> None:
        now = self._clock.monotonic()
        if self._lookout.due(now) <= 0:
            self._lookout.step(now)
        elif self._census.due(now) <= 0:
            with self._lookout.asking("scontrol", now):
                self._census.count(now)
