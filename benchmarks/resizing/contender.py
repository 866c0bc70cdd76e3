"""What the race does to each engine, and how it measures what came of it."""

from __future__ import annotations

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.base.sweep import sweep
from resizing.processes import start
from resizing.steps import Mark, Pause, completed_since, pause, read_steps

SETTLED = 20
"""New steps in the new world after which an event is over."""
_POLL_SECONDS = 0.1
_MARK = "RESIZING_RACE"
"""In the environment of every process of a contender."""

WORKERS = 4
WORLD_AFTER = {"shrink": 2, "grow": 4, "kill_worker": 4, "lose_node": 2, "come_back": 4}
"""What can happen, and how many workers there are when it is over."""


class NotWithin(Exception):
    """What was waited for did not come about."""


class Contender(ABC):
    """An engine that trains `model.py` with four workers, two on each of two nodes, and logs its steps.

    Args:
        folder: for its files.

    Attributes:
        grows_by_coming_back: it makes no difference between a node that was planned and one that was lost.
    """

    grows_by_coming_back = True

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def launch(
        self, argv: Sequence[str], log: Path, environment: Mapping[str, str], *, talk: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a process that `close` ends with everything below it."""
        process = start(argv, log, {**environment, _MARK: str(self.folder)}, talk=talk)
        self._processes.append(process)
        return process

    def check(self) -> None:
        """Whether it can still bring anything about.

        Raises:
            NotWithin: no.
        """
        return

    def close(self) -> None:
        """End everything, wherever it is; may be called at any time, and twice."""
        sweep([], (_MARK, str(self.folder)))
        for process in self._processes:
            process.wait()

    @abstractmethod
    def start(self) -> None:
        """Both nodes begin."""

    @abstractmethod
    def shrink(self) -> None:
        """The second node is to leave in good order: as the engine plans such a thing."""

    @abstractmethod
    def grow(self) -> None:
        """It is to come back."""

    @abstractmethod
    def kill_worker(self) -> None:
        """A worker of the second node is killed; the engine is to replace it."""

    @abstractmethod
    def lose_node(self) -> None:
        """The second node is gone at once, with all that ran there."""

    @abstractmethod
    def come_back(self) -> None:
        """The lost node is there again."""


def open_contender(contender: Contender, seconds: float) -> None:
    """Start it, until it has settled.

    Raises:
        NotWithin: it has not in time.
    """
    contender.start()
    _settle(contender, 0.0, WORKERS, seconds)


def measure(contender: Contender, event: str, seconds: float) -> Pause:
    """Let an event happen, and see what it costs.

    Raises:
        NotWithin: it did not come about in time.
    """
    since = time.monotonic()
    happen: Callable[[], None] = getattr(contender, event)
    happen()
    until = _settle(contender, since, WORLD_AFTER[event], since + seconds - time.monotonic())
    return pause(read_steps(contender.folder), since, until)


def _settle(contender: Contender, since: float, world: int, seconds: float) -> float:
    def settled(marks: Sequence[Mark]) -> bool:
        contender.check()
        return len(completed_since(marks, since, world)) >= SETTLED

    return wait_for(contender.folder, settled, seconds, f"{SETTLED} new steps of {world} workers")[-1].time


def wait_for(folder: Path, condition: Callable[[Sequence[Mark]], bool], seconds: float, what: str) -> list[Mark]:
    """Poll the log.

    Raises:
        NotWithin: it did not come about.
    """
    deadline = time.monotonic() + seconds
    while True:
        marks = read_steps(folder)
        if condition(marks):
            return marks
        if time.monotonic() > deadline:
            raise NotWithin(f"{what}: not within {max(0.0, seconds):.0f} s")
        time.sleep(_POLL_SECONDS)
