"""A worker's place among the workers that Ray Train started together: one view, which lasts as long as they do."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.files import create_exclusive, read_json
from orchestrator.rundir.membership import MEMBERS_PER_ALLOCATION, Member, View
from orchestrator.runtime.logs import say
from orchestrator.runtime.membership.events import WorkerBeat
from orchestrator.runtime.membership.judgement import step_deadline
from orchestrator.runtime.membership.protocol import Phase
from orchestrator.runtime.membership.timing import StepTimes
from orchestrator.training.group import HINT, GroupBroken

FromRankZero = Callable[[Any], Any]
"""Ray Train's broadcast: worker 0's value, on all of them; a barrier, so that each calls it equally often."""
_WATCH_SECONDS = 1.0
HUNG = 70
"""Exit code of a worker that ends itself because its step does not end."""


@dataclass(frozen=True)
class Attempt:
    """One start of all workers by Ray Train.

    Attributes:
        number: in the run, from 1.
        rank: this worker's.
        workers: how many there are.
        before: how many the attempt before had; 0: this is the first one.
        drained: those left because a node was to be taken away.
    """

    number: int
    rank: int
    workers: int
    before: int = 0
    drained: bool = False

    @classmethod
    def join(cls, folder: Path, rank: int, workers: int, from_rank_zero: FromRankZero) -> Attempt:
        """Worker 0 counts the attempts of the run, and tells the others.

        Args:
            folder: where they are counted.
            rank: this worker's.
            workers: how many there are.
            from_rank_zero: by which it tells them.
        """
        number, before, drained = from_rank_zero(_count(folder, workers) if rank == 0 else None)
        return cls(number, rank, workers, before, drained)

    def leave(self, folder: Path) -> None:
        """All workers leave because a node is to be taken away; the next attempt knows."""
        (folder / f"attempt-{self.number:04d}.drained").touch()

    @property
    def first(self) -> int:
        """The number of worker 0; the numbers from it on are used once in the run, and 0 is the driver's."""
        return self.number * MEMBERS_PER_ALLOCATION


def _count(folder: Path, workers: int) -> tuple[int, int, bool]:
    """The next attempt's number, how many workers the one before it had, and whether they left for a drain."""
    folder.mkdir(parents=True, exist_ok=True)
    number, before = 1, 0
    content = json.dumps({"workers": workers}).encode()
    while not create_exclusive(folder / f"attempt-{number:04d}.json", content):
        before = int((read_json(folder / f"attempt-{number:04d}.json") or {}).get("workers", 0))
        number += 1
    return number, before, (folder / f"attempt-{number - 1:04d}.drained").exists()


class RayTrainPlace:
    """The implementation of `membership.protocol.Membership` for a worker of Ray Train.

    Who is lost is not replaced: the group breaks, the worker fails, and Ray Train starts all of them anew.

    Args:
        attempt: its workers.
        host: where the others reach this one.
        from_rank_zero: Ray Train's broadcast.
    """

    def __init__(self, attempt: Attempt, host: str, from_rank_zero: FromRankZero) -> None:
        self._attempt, self._host, self._from_rank_zero = attempt, host, from_rank_zero
        self.number = attempt.first + attempt.rank
        self._port = 0
        self._reason = "a worker was lost"
        self.beaten: Callable[[int, Phase], None] = lambda step, phase: None

    def ready(self, port: int) -> None:
        """This worker is warm; its key-value store listens at `port`."""
        self._port = port

    def next_view(self, after: int) -> View | None:
        """The only view, once all workers are warm.

        Raises:
            GroupBroken: there is no other one.
        """
        if after:
            raise GroupBroken(self._reason, hint=HINT)
        host, port = self._from_rank_zero((self._host, self._port))
        first = self._attempt.first
        others = (Member(first + rank, "", 0, 0) for rank in range(1, self._attempt.workers))
        return View(self._attempt.number, (Member(first, host, port, 0), *others))

    def newest_epoch(self) -> int:
        """That of the only view."""
        return self._attempt.number

    def broken(self, epoch: int, reason: str) -> None:
        """The group broke."""
        self._reason = reason

    def beat(self, step: int, phase: Phase) -> None:
        """Where the training thread is."""
        self.beaten(step, phase)


class HangWatch:
    """Ends the process when a step does not end; Ray Train itself waits for such a worker for ever.

    Args:
        hang_after: seconds; ten times the median step where that is longer.
        end: how it ends.
    """

    def __init__(self, hang_after: float, end: Callable[[], None] = lambda: os._exit(HUNG)) -> None:
        self._hang_after, self._end = hang_after, end
        self._times = StepTimes()
        self._since: float | None = None
        self._over = threading.Event()

    def beat(self, step: int, phase: Phase) -> None:
        """A note of the training thread."""
        now = time.monotonic()
        self._times.note(WorkerBeat(0, step, phase, 1), now)
        self._since = now if phase == "compute" else None

    def look(self, now: float) -> None:
        """Whether it hangs at a time of the monotonic clock."""
        since, limit = self._since, step_deadline(self._hang_after, tuple(self._times.seconds))
        if since is not None and now - since > limit:
            say(f"a step takes longer than {limit:.0f} s: this worker ends itself")
            self._end()

    def __enter__(self) -> HangWatch:
        threading.Thread(target=self._watch, name="hang-watch", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(_WATCH_SECONDS):
            self.look(time.monotonic())
