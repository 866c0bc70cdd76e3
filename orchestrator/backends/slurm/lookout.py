"""What was seen of allocations in Slurm, and what is looked at next; it has no thread of its own."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from orchestrator.backends.protocol import AllocationState, Observation, Wait
from orchestrator.backends.slurm.budget import Budget
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.look import Look, Sight
from orchestrator.backends.slurm.memory import Memory
from orchestrator.backends.slurm.orders import Orders
from orchestrator.backends.slurm.states import Asked, counting, is_over, seen
from orchestrator.backends.slurm.tables import QUEUE_FORMAT, JobRow, queue
from orchestrator.base.clock import Clock
from orchestrator.base.errors import BackendUnavailable
from orchestrator.lifecycle.failures import FailureClass

_LOG = logging.getLogger(__name__)

_BURST = 3
"""Looks in a row, after which they come one in `look_every`."""
_STRETCH = 1.2
"""Regular looks are so much further apart after a burst, until another one may follow."""
_SETTLE = 1.0
"""Seconds (a quarter of `look_every` where that is less) after a change: what else changes then is seen with it."""
_IDLE = 3.0
"""So many times `look_every` after the last question, nobody looks any more."""
_SLOW = 15.0
"""Seconds (one and a half times `look_every` where that is more) after which a question is told to take too long,"""
_PROMPT = 3.0
"""or, where that is sooner, after so many and three times as long as the last good look took."""


class Lookout:
    """What squeue and sacct say of our allocations. Threads may ask; one thread calls `step`.

    Args:
        slurm: the programs.
        look_every: seconds between two looks.
        clock: what time it is.
    """

    def __init__(self, slurm: Slurm, look_every: float, clock: Clock) -> None:
        self._slurm = slurm
        self._every = look_every
        self._clock = clock
        self._budget = Budget(look_every, _BURST)
        self._memory = Memory(slurm, look_every * 6, clock)
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._error: BackendUnavailable | None = None
        self._good_until = clock.now()
        self._began = -math.inf
        self._took = 0.0
        self._asking: tuple[str, float] | None = None
        self._done = -math.inf
        self._asked_at = -math.inf
        self._changed_at = -math.inf
        self._wanted_at = -math.inf
        self._asked: dict[str, tuple[Asked, float]] = {}
        self._launching: dict[str, int] = {}
        self._launched: dict[str, float] = {}
        self._judged: dict[Asked, Observation] = {}
        self._mistakes: frozenset[tuple[str, str]] = frozenset()
        self._orders = Orders(slurm)

    def observe(self, asked: Sequence[Asked]) -> Mapping[str, Observation]:
        """What the newest look, and accounting, say of each.

        Raises:
            BackendUnavailable: it failed, or takes too long, or there is none yet.
        """
        with self._lock:
            now = self._touched()
            if self._look is not None:  # also while Slurm is silent: the next good look is at them
                self._asked.update((one.allocation, (one, now)) for one in asked)
            look = self._newest(now)
            return {one.allocation: self._judge(one, look) for one in asked}

    def sight(self, allocation: str) -> Sight | None:
        """One allocation in the newest look; None where Slurm does not have it.

        Raises:
            BackendUnavailable: there is no look, or it cannot be read in full and shows no living job of it.
        """
        with self._lock:
            look = self._newest(self._touched())
        found = look.sight(allocation)
        if look.garbled and (found is None or found.over):
            raise BackendUnavailable(_unread(look), hint="see what it prints on the server's machine: squeue --me")
        return found

    def changed(self) -> None:
        """Something of ours was changed: look soon."""
        with self._lock:
            self._changed_at = self._touched()

    def launching(self, allocation: str) -> None:
        """Slurm is being asked for it: until `launched`, looks without it say nothing."""
        with self._lock:
            self._launching[allocation] = self._launching.get(allocation, 0) + 1

    def launched(self, allocation: str) -> None:
        """Slurm was asked for it: looks that began before say nothing of it."""
        with self._lock:
            self._changed_at = self._launched[allocation] = self._touched()
            left = self._launching.pop(allocation) - 1
            if left:
                self._launching[allocation] = left

    def want(self) -> float:
        """Ask for a look that begins from now on, at once; what `ended_since` takes."""
        with self._lock:
            self._wanted_at = self._touched()
            return self._wanted_at

    def ended_since(self, ticket: float) -> bool:
        """Whether a look that began after a `want` has ended, well or not."""
        with self._lock:
            return self._done >= ticket

    @property
    def tried(self) -> bool:
        """Whether any look has ended."""
        with self._lock:
            return self._done > -math.inf

    def check(self) -> None:
        """Nothing, where the newest look was good.

        Raises:
            BackendUnavailable: it was not.
        """
        with self._lock:
            self._newest(self._clock.monotonic())

    @property
    def asked(self) -> str:
        """The program that the one thread waits for now; empty where it waits for none."""
        with self._lock:
            return "" if self._asking is None else self._asking[0]

    def heard(self) -> None:
        """Nothing, unless Slurm is known to be silent.

        Raises:
            BackendUnavailable: the newest look failed, or what Slurm was asked takes too long.
        """
        with self._lock:
            self._check(self._clock.monotonic())

    def touch(self) -> None:
        """Somebody asks."""
        with self._lock:
            self._touched()

    def due(self, now: float) -> float:
        """Seconds until the next look at queue or accounting; infinite where nobody asks."""
        with self._lock:
            return min(self._queue_due(now), self._memory_due(now))

    def step(self, now: float) -> None:
        """Look at what is due."""
        with self._lock:
            queue_due, memory_due = self._queue_due(now) <= 0, self._memory_due(now) <= 0
            if queue_due:
                self._budget.spend(now)
                self._began = now
        if queue_due:
            with self.asking("squeue", now):
                self._look_at_queue(now)
        elif memory_due:
            self._memory.ask(now)

    @contextmanager
    def asking(self, program: str, now: float) -> Iterator[None]:
        """While the one thread waits for a program that Slurm itself has to answer."""
        with self._lock:
            self._asking = program, now
        try:
            yield
        finally:
            with self._lock:
                self._asking = None

    def _queue_due(self, now: float) -> float:
        if self._wanted_at > self._began:
            return self._budget.wait(now, debt=_BURST)
        if now - self._asked_at > _IDLE * self._every:
            return math.inf
        stretch = 1.0 if self._budget.is_full(now) else _STRETCH
        at = self._began + self._every * stretch
        settle = min(_SETTLE, self._every / 4)
        if self._changed_at >= self._began:
            at = min(at, max(self._changed_at, self._began + settle) + settle)
        return max(0.0, at - now, self._budget.wait(now))

    def _memory_due(self, now: float) -> float:
        if now - self._asked_at > _IDLE * self._every or self._look is None or self._error is not None:
            return math.inf
        return self._memory.due(now)

    def _look_at_queue(self, now: float) -> None:
        look, error = None, None
        try:
            answer = self._slurm.read(
                "squeue", f"--user={os.getuid()}", "--all", "--states=all", "--noheader", f"--format={QUEUE_FORMAT}"
            )
            look = Look.of(now, queue(answer.out), self._mistakes)
            self._name_cancellers(look, now)
        except BackendUnavailable as failed:
            error = failed
        except Exception as failed:  # what Slurm prints is foreign; nothing is concluded from what cannot be taken in
            _LOG.exception("a look at Slurm's queue failed")
            error = BackendUnavailable(f"squeue's answer cannot be taken in: {failed}", hint="see the server's log")
        with self._lock:
            was_silent, self._done, self._error = self._error is not None, now, error
            if look is not None:
                self._took = self._clock.monotonic() - now
                self._take(look, now, after_silence=was_silent)
        if look is not None:
            self._call_off(look)

    def _take(self, look: Look, now: float, *, after_silence: bool) -> None:
        """From here on this is the newest look."""
        if look.garbled:
            _LOG.warning("squeue shows what cannot be read, such as: %s", look.garbled[0])
        self._look, self._good_until = look, self._clock.now()
        self._judged.clear()
        self._launched = {name: at for name, at in self._launched.items() if at >= look.began}
        self._asked = {name: entry for name, entry in self._asked.items() if now - entry[1] <= _IDLE * self._every}
        if not look.garbled:
            under_way = {*self._launching, *self._launched}
            ours = [one for one, _ in self._asked.values() if one.allocation not in under_way]
            self._memory.saw(look, ours, after_silence=after_silence)

    def _name_cancellers(self, look: Look, now: float) -> None:
        """Who cancelled ours, where accounting may be asked just now; it hears of an end a moment later."""
        with self._lock:
            ours = [(one, look.rows_of(one)) for one, _ in self._asked.values() if not one.cancelled]
        cancelled = [(one, counting(rows)) for one, rows in ours if rows]
        self._memory.ask_who([(one, row.job) for one, row in cancelled if row.state == "CANCELLED"], now)

    def _call_off(self, look: Look) -> None:
        """An allocation that Slurm holds twice, because an answer of sbatch's was lost: the younger job goes.

        Only once its number is written down nowhere, for this process may die: the next one knows of no mistakes.
        """
        for allocation, job in look.surplus:
            known = self._asked.get(allocation)
            if known is not None and known[0].job != job and (allocation, job) not in self._mistakes:
                _LOG.warning("Slurm's job %s is a second one of %s: it is cancelled", job, allocation)
                try:
                    self._orders.cancel(allocation, job)
                    self._mistakes |= {(allocation, job)}
                except BackendUnavailable as error:
                    _LOG.warning("%s", error)

    def _seen(self, rows: Sequence[JobRow], asked: Asked) -> Observation:
        job = rows[0].job
        found = seen(rows, asked, self._memory.canceller(job))
        cancelled = found.failure_class == FailureClass.PERMANENT
        return replace(found, provisional=True) if cancelled and self._memory.may_name(job) else found

    def _touched(self) -> float:
        self._asked_at = self._clock.monotonic()
        return self._asked_at

    def _newest(self, now: float) -> Look:
        self._check(now)
        if self._look is None:
            raise BackendUnavailable("Slurm has not been looked at yet", hint="wait a moment")
        return self._look

    def _check(self, now: float) -> None:
        if self._error is not None:
            raise BackendUnavailable(self._error.message, hint=self._error.hint, since=self._good_until)
        slow = min(max(_SLOW, 1.5 * self._every), _PROMPT + 3.0 * self._took)
        if self._asking is not None and now - self._asking[1] > slow:
            program, began = self._asking
            raise BackendUnavailable(
                f"{program} has been running for {now - began:.0f} s",
                hint="see whether slurmctld is overloaded: sdiag, scontrol ping",
                since=self._good_until,
            )

    def _judge(self, asked: Asked, look: Look) -> Observation:
        rows = look.rows_of(asked)
        refused_before = asked.allocation in self._launching and not asked.job
        if rows and not (refused_before and is_over(counting(rows).state)):
            found = self._judged.get(asked)
            if found is None:
                found = self._judged[asked] = self._seen(rows, asked)
            return found
        if asked.allocation in self._launching or asked.allocation in self._launched:
            wait = Wait("", "it was handed to Slurm just now", "wait: the next look tells more")
            return Observation(AllocationState.PENDING, engine_id=asked.job, waits=wait)
        if look.garbled:
            return Observation(AllocationState.UNKNOWN, detail=_unread(look), engine_id=asked.job)
        return self._memory.of(asked)


def _unread(look: Look) -> str:
    return f"squeue's answer cannot be read in full: {look.garbled[0]}"
