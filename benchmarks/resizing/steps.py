"""Which worker began and completed which step at what time: written by every worker, read as gaps and steps redone."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

_USUAL = 50
"""Steps before an event whose median is the usual step."""

Kind = Literal["begun", "completed"]


class StepLog:
    """One worker's log; each line is in the disk's cache at once, so that a kill loses none.

    Args:
        folder: of the whole race.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"steps-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, kind: Kind, step: int, world: int, group: int) -> None:
        """A step is begun or completed on this worker, which is one of `world` in a process group of that number."""
        os.write(self._file, f"{time.monotonic()} {kind} {step} {world} {group} {os.getpid()}\n".encode())


@dataclass(frozen=True)
class Mark:
    """A line of a log."""

    time: float
    kind: str
    step: int
    world: int
    group: int
    pid: int


def read_steps(folder: Path) -> list[Mark]:
    """All lines so far, in time; a torn last line is left out."""
    marks = []
    for path in folder.glob("steps-*"):
        for line in path.read_text().split("\n")[:-1]:
            moment, kind, *numbers = line.split()
            marks.append(Mark(float(moment), kind, *map(int, numbers)))
    return sorted(marks, key=lambda mark: mark.time)


@dataclass(frozen=True)
class Pause:
    """What an event cost.

    Attributes:
        seconds: the longest time between two steps that were new, less the median step before the event.
        redone: steps that one group of workers had begun and another one began again.
        step: the median step before the event, in seconds.
    """

    seconds: float
    redone: int
    step: float


def pause(marks: Sequence[Mark], since: float, until: float) -> Pause:
    """The cost of what happened at `since`, and was over at `until`."""
    new = [mark.time for mark in _new_steps(marks)]
    usual = [after - before for before, after in pairwise(new) if after < since][-_USUAL:]
    gaps = [after - before for before, after in pairwise(new) if after >= since and before < until]
    step = statistics.median(usual)
    return Pause(max(0.0, max(gaps) - step), len(_redone(marks, since)), step)


def completed_since(marks: Sequence[Mark], moment: float, world: int) -> list[Mark]:
    """The new steps that a world of this size has completed since a moment."""
    return [mark for mark in _new_steps(marks) if mark.time > moment and mark.world == world]


def _new_steps(marks: Sequence[Mark]) -> list[Mark]:
    """The first completion of every step beyond all before it."""
    found: list[Mark] = []
    for mark in marks:
        if mark.kind == "completed" and (not found or mark.step > found[-1].step):
            found.append(mark)
    return found


def _redone(marks: Sequence[Mark], since: float) -> set[int]:
    first: dict[int, int] = {}
    redone = set()
    for mark in marks:
        if mark.kind == "begun" and first.setdefault(mark.step, mark.group) != mark.group and mark.time > since:
            redone.add(mark.step)
    return redone
