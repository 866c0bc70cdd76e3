"""One engine's course: what happens to it, in which order, within how much time, and what each event cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from resizing.contender import Contender, NotWithin, measure, open_contender
from resizing.steps import Pause

COURSES = (("kill_worker", "lose_node", "come_back"), ("shrink", "grow"))
"""Each leads from four workers back to four; where one is broken off, the engine begins the next one anew."""


@dataclass(frozen=True)
class Terms:
    """How long a race may take.

    Attributes:
        rounds: repetitions of every course.
        patience: seconds within which an engine has to start, and an event to be over.
        budget: seconds for the whole race of one engine.
    """

    rounds: int
    patience: float
    budget: float


@dataclass
class Results:
    """What was seen of one engine.

    Attributes:
        pauses: of each event, one a round.
        reasons: why an event has no pause.
    """

    pauses: dict[str, list[Pause]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, event: str, pause: Pause) -> None:
        """An event came about."""
        self.pauses.setdefault(event, []).append(pause)


class Race:
    """One engine's.

    Args:
        name: for people.
        make: the engine, with a folder of its own.
        folder: for its files; a short name, since Ray's sockets lie below it.
        terms: how long.
    """

    def __init__(self, name: str, make: Callable[[Path], Contender], folder: Path, terms: Terms) -> None:
        self._name, self._make, self._folder, self._terms = name, make, folder, terms
        self._ends = time.monotonic() + terms.budget
        self._contender: Contender | None = None
        self._started = 0
        self._results = Results()

    def run(self) -> Results:
        """All courses, so often as there are rounds; nothing is left running."""
        try:
            for _ in range(self._terms.rounds):
                for course in COURSES:
                    self._follow(course)
        finally:
            self._close()
        return self._results

    def _follow(self, course: tuple[str, ...]) -> None:
        for number, event in enumerate(course):
            try:
                contender = self._open()
                pause = measure(contender, event, self._seconds())
            except NotWithin as error:
                self._say(f"{event}: {error}")
                self._close()
                self._results.reasons.setdefault(event, str(error))
                for later in course[number + 1 :]:
                    self._results.reasons.setdefault(later, f"not reached, {event} did not come about")
                return
            self._say(f"{event}: {pause.seconds:.2f} s, {pause.redone} redone, a step {pause.step:.3f} s")
            self._results.add("grow" if event == "come_back" and contender.grows_by_coming_back else event, pause)

    def _seconds(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise NotWithin(f"the {self._terms.budget:.0f} s of this engine were over")
        return min(self._terms.patience, left)

    def _open(self) -> Contender:
        if self._contender is None:
            seconds = self._seconds()
            self._started += 1
            self._contender = self._make(self._folder / str(self._started))
            open_contender(self._contender, seconds)
        return self._contender

    def _close(self) -> None:
        if self._contender is not None:
            self._contender.close()
            self._contender = None

    def _say(self, text: str) -> None:
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)
