"""Contenders run in turn, round by round, so that a drifting machine treats all alike; speeds and ratios of that."""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers.cache import drop, resident
from peers.processes import Contestants, Failed

SETUP = "make .venv-bench"


@dataclass(frozen=True)
class Contender:
    """One way to deliver an epoch.

    Attributes:
        name: as it is printed.
        target: the function that opens it, `module:name`.
        needs: the modules that it imports; where one is absent it is named with that reason.
        extra: what its function is told beyond the common arguments, such as a decoder.
    """

    name: str
    target: str
    needs: tuple[str, ...] = ()
    extra: str = ""

    @property
    def format(self) -> str:
        """The name of the module whose `write` makes what it reads."""
        module = self.target.partition(":")[0].rpartition(".")[2]
        return "ours" if module == "arrow_rows" else module

    @property
    def absent(self) -> str:
        """Why it cannot be run here; empty where it can."""
        gone = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f"{gone[0]} is not installed: {SETUP}, then .venv-bench/bin/python {{script}}" if gone else ""


@dataclass
class Laps:
    """Seconds of each contender round by round, how many samples each delivered, and why some did not run."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    resident: list[float] = field(default_factory=list)

    def add(self, name: str, seconds: float, samples: int) -> None:
        """One round of one contender."""
        self.seconds.setdefault(name, []).append(seconds)
        self.samples[name] = samples

    def speed(self, name: str) -> float | str:
        """Median thousand samples/s, or why there is none."""
        if name in self.reasons or name not in self.seconds:
            return self.reasons.get(name, "not run")
        return self.samples[name] / statistics.median(self.seconds[name]) / 1000

    def ratio(self, name: str, other: str) -> float:
        """How many times as fast as another it was: the median over rounds; infinite where that one did not run."""
        if other in self.reasons or other not in self.seconds:
            return float("inf")
        if name in self.reasons or name not in self.seconds:
            return 0.0
        mine, theirs = self.seconds[name], self.seconds[other]
        scale = self.samples[name] / self.samples[other]
        return scale * statistics.median(b / a for a, b in zip(mine, theirs, strict=True))


Arguments = Callable[[Contender], Sequence[tuple[Any, ...]]]
"""What each of a contender's processes is called with; asked for anew at every opening."""


def warm(contenders: Sequence[Contender], arguments: Arguments, rounds: int) -> Laps:
    """Each contender stays open; its first epoch warms the page cache and starts its workers, and does not count."""
    laps = Laps()
    with ExitStack() as stack:
        open_ones = {}
        for one in contenders:
            try:
                open_ones[one] = stack.enter_context(Contestants(one.target, arguments(one)))
                open_ones[one].ask("open")
                open_ones[one].ask(0)
            except Failed as failure:
                laps.reasons[one.name] = str(failure)
        for number in range(rounds):
            for one, processes in open_ones.items():
                if one.name not in laps.reasons:
                    _lap(laps, one, lambda number=number, processes=processes: processes.ask(number + 1))
        for processes in open_ones.values():
            processes.dismiss()
    return laps


def cold(contenders: Sequence[Contender], arguments: Arguments, places: Callable[[str], Path], rounds: int) -> Laps:
    """Before each round files are dropped from the page cache; a fresh process's opening and first epoch are timed."""
    laps = Laps()
    for number in range(rounds):
        for one in contenders:
            if one.name not in laps.reasons:
                with Contestants(one.target, arguments(one)) as processes:
                    drop(places(one.format))
                    laps.resident.append(resident(places(one.format)))
                    _lap(laps, one, lambda number=number, processes=processes: _opening(processes, number))
    return laps


def meeting() -> str:
    """A path where nothing is yet, for processes that meet at a file."""
    return tempfile.mktemp(prefix="orchestrator-bench-meeting-")


def _opening(processes: Contestants, number: int) -> tuple[float, int]:
    opening, _ = processes.ask("open")
    epoch, samples = processes.ask(number)
    return opening + epoch, samples


def _lap(laps: Laps, one: Contender, run: Callable[[], tuple[float, int]]) -> None:
    try:
        laps.add(one.name, *run())
    except Failed as failure:
        laps.reasons[one.name] = str(failure)
