"""How allocations ended that Slurm's queue has forgotten: accounting says so, where there is one."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.backends.slurm.accounting import MOST_AT_ONCE, asked_of
from orchestrator.backends.slurm.budget import Budget
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.look import Look
from orchestrator.backends.slurm.probe import Probe, probe
from orchestrator.backends.slurm.states import Asked, is_over, remembered
from orchestrator.backends.slurm.tables import AccountRow
from orchestrator.base.clock import Clock
from orchestrator.base.errors import BackendUnavailable
from orchestrator.lifecycle.reasons import utc

_LOG = logging.getLogger(__name__)

_TRIES = 3
"""So often accounting may say that a job still runs, or know nothing of it, before the queue's word counts."""
_APART = 6.0
"""Two such questions about one job are so large a part of `every` apart: accounting may lag behind."""
_EARLY = 5.0
"""Once in so many times `every`, what is gone after a silence is asked about earlier than the budget allows."""
_KEPT = 10_000
_HEARD_WITHIN = 10.0
"""Seconds that an end by scancel waits for accounting to say whose; longer where that may be asked more seldom."""

K = TypeVar("K")
V = TypeVar("V")
_Key = tuple[str, str]
"""Allocation, and Slurm's number."""


@dataclass(frozen=True)
class _Gone:
    """One that squeue no longer shows, how often accounting was asked about it in vain, and when it may be again."""

    asked: Asked
    tries: int = 0
    after: float = -math.inf


class Memory:
    """What became of jobs that squeue no longer shows. Threads may ask; one thread asks Slurm.

    Args:
        slurm: the programs.
        every: seconds between two questions to accounting.
        clock: what time it is.
    """

    def __init__(self, slurm: Slurm, every: float, clock: Clock) -> None:
        self._slurm = slurm
        self._clock = clock
        self._budget = Budget(every, burst=2)
        self._early = Budget(every * _EARLY)
        self._apart = every / _APART
        self._was_silent = False
        self._lock = threading.Lock()
        self._probe: Probe | None = None
        self._numbers: dict[str, str] = {}
        self._gone: dict[_Key, _Gone] = {}
        self._ends: dict[_Key, AccountRow | str] = {}
        self._cancellers: dict[str, str] = {}
        self._wondered: dict[str, float] = {}
        self._heard_within = max(_HEARD_WITHIN, 1.2 * every)
        self._silent: tuple[float, str] | None = None

    def canceller(self, job: str) -> str:
        """Who cancelled a job; empty where nobody knows."""
        with self._lock:
            return self._cancellers.get(job, "")

    def may_name(self, job: str) -> bool:
        """Whether accounting may yet say who cancelled a job, of which the queue says so already."""
        now = self._clock.monotonic()
        with self._lock:
            began = self._wondered.setdefault(job, now)
            there = self._probe is None or self._probe.accounting
            return there and job not in self._cancellers and now - began < self._heard_within

    def saw(self, look: Look, asked: Iterable[Asked], *, after_silence: bool = False) -> None:
        """Note what a look showed of those that are asked about, and what it no longer shows.

        Args:
            look: the newest.
            asked: what is asked about.
            after_silence: the look before it failed.
        """
        with self._lock:
            before, self._gone = self._gone, {}
            for one in asked:
                if rows := look.rows_of(one):
                    self._numbers[one.allocation] = rows[0].job
                else:
                    self._miss(self._known(one), before)
            self._was_silent = bool(self._gone) and (after_silence or self._was_silent)
            _trim(self._numbers)
            _trim(self._ends)
            _trim(self._cancellers)
            _trim(self._wondered)

    def of(self, asked: Asked) -> Observation:
        """An allocation that the newest look did not show, though it began after the launch."""
        with self._lock:
            known = self._known(asked)
            if not known.job:
                return Observation(AllocationState.ABSENT)
            end = self._ends.get(_key(known))
            if isinstance(end, AccountRow):
                return remembered(end, known)
            if self._probe is not None and not self._probe.accounting:
                end = "there is no accounting to say how it ended"
            if end is not None:
                detail = f"Slurm no longer knows job {known.job}, and {end}"
                return Observation(AllocationState.ENDED, detail=detail, engine_id=known.job)
            self._miss(known, self._gone)
            return Observation(AllocationState.UNKNOWN, detail=self._asking(known), engine_id=known.job)

    def due(self, now: float) -> float:
        """Seconds until accounting is asked next; infinite where there is nothing to ask."""
        with self._lock:
            if self._probe is not None and not (self._probe.accounting and self._gone):
                return math.inf
            soonest = min((one.after - now for one in self._gone.values()), default=0.0)
            return max(0.0, soonest, self._wait(now))

    def ask(self, now: float) -> None:
        """Find out whether there is accounting, and then how those ended that are gone."""
        with self._lock:
            self._spend(now)
            due = [one for one in self._gone.values() if one.after <= now]
            fewest_tries_first = sorted(due, key=lambda one: one.tries)
            gone = [one.asked for one in fewest_tries_first[:MOST_AT_ONCE]]
        try:
            accounting = self._probed().accounting
            rows = asked_of(self._slurm, gone) if gone and accounting else {}
        except BackendUnavailable as error:
            with self._lock:
                self._silent = self._clock.now() if self._silent is None else self._silent[0], error.message
            return
        with self._lock:
            self._silent = None
            for one in gone:
                self._answer(one, rows.get(one.allocation), now)

    def ask_who(self, cancelled: Sequence[tuple[Asked, str]], now: float) -> None:
        """Who cancelled these, where that is not known and accounting may be asked now; it need not answer."""
        with self._lock:
            unknown = [replace(one, job=job) for one, job in cancelled if job not in self._cancellers][:MOST_AT_ONCE]
            allowed = self._probe is not None and self._probe.accounting and self._budget.wait(now) <= 0
            if not unknown or not allowed:
                return
            self._budget.spend(now)
        try:
            rows = asked_of(self._slurm, unknown)
        except BackendUnavailable as error:
            _LOG.info("accounting does not say who cancelled jobs: %s", error.message)
            with self._lock:
                self._cancellers.update((one.job, "") for one in unknown)
            return
        with self._lock:
            self._cancellers.update((row.job, row.by) for row in rows.values() if is_over(row.state))

    def _wait(self, now: float) -> float:
        wait = self._budget.wait(now)
        return min(wait, self._early.wait(now)) if self._was_silent else wait

    def _spend(self, now: float) -> None:
        if self._budget.wait(now) <= 0:
            self._budget.spend(now)
        else:
            self._early.spend(now)
            self._was_silent = False

    def _probed(self) -> Probe:
        if self._probe is None:
            self._probe = probe(self._slurm)
            _LOG.info("cluster %s, Slurm %s", self._probe.cluster, self._probe.version)
            for lack in self._probe.lacks:
                _LOG.warning("%s", lack)
        return self._probe

    def _known(self, asked: Asked) -> Asked:
        """With the number that squeue showed: that of a job whose submission was not answered, too."""
        return replace(asked, job=self._numbers.get(asked.allocation, asked.job))

    def _miss(self, asked: Asked, before: Mapping[_Key, _Gone]) -> None:
        key = _key(asked)
        if asked.job and key not in self._ends:
            self._gone[key] = before.get(key) or _Gone(asked)

    def _asking(self, asked: Asked) -> str:
        text = f"squeue no longer shows job {asked.job}; accounting (sacct) is asked"
        if self._silent is None:
            return text
        return f"{text}, and has not answered since {utc(self._silent[0])}: {self._silent[1]}"

    def _answer(self, asked: Asked, row: AccountRow | None, now: float) -> None:
        key = _key(asked)
        tries = self._gone[key].tries + 1 if key in self._gone else 1
        if row is not None and is_over(row.state):
            self._ends[key] = row
        elif tries >= _TRIES:
            self._ends[key] = "accounting has no word of it" if row is None else f"accounting calls it {row.state}"
        else:
            self._gone[key] = _Gone(asked, tries, now + self._apart)
            return
        self._gone.pop(key, None)


def _key(asked: Asked) -> _Key:
    return asked.allocation, asked.job


def _trim(kept: dict[K, V]) -> None:
    while len(kept) > _KEPT:
        kept.pop(next(iter(kept)))
