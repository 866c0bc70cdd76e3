"""`Line`: waiting jobs that need the same, in order; and how it is walked without looking at each of them."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from operator import itemgetter
from typing import NamedTuple

from orchestrator.scheduling.cluster import Demand
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.orders.ranking import Key

_LONGEST = 256
_last = itemgetter(-1)


class Entry(NamedTuple):
    """A waiting job in its line.

    Attributes:
        key: by which it is sorted.
        id: the job's.
        seconds: that it should run for if it gets its most workers.
        job: it.
    """

    key: Key
    id: str
    seconds: float
    job: Job


class Line:
    """Entries in order, in pieces, with the shortest job of each piece.

    Attributes:
        group: of the order.
        demand: of all of them.
    """

    __slots__ = ("_pieces", "_shortest", "demand", "group")

    def __init__(self, group: str, demand: Demand) -> None:
        self.group = group
        self.demand = demand
        self._pieces: list[list[Entry]] = []
        self._shortest: list[float] = []

    def __bool__(self) -> bool:
        """Whether anybody waits in it."""
        return bool(self._pieces)

    def __len__(self) -> int:
        """How many wait in it."""
        return sum(map(len, self._pieces))

    def copy(self) -> Line:
        """One that can be changed by itself."""
        other = Line(self.group, self.demand)
        other._pieces = [piece.copy() for piece in self._pieces]
        other._shortest = self._shortest.copy()
        return other

    def fill(self, entries: list[Entry]) -> None:
        """Many at once, into an empty line."""
        entries.sort()
        self._pieces = [entries[i : i + _LONGEST // 2] for i in range(0, len(entries), _LONGEST // 2)]
        self._shortest = [min(entry.seconds for entry in piece) for piece in self._pieces]

    def add(self, entry: Entry) -> None:
        """In its place."""
        if not self._pieces:
            self._pieces, self._shortest = [[entry]], [entry.seconds]
            return
        number = min(bisect_left(self._pieces, entry, key=_last), len(self._pieces) - 1)
        piece = self._pieces[number]
        insort(piece, entry)
        self._shortest[number] = min(self._shortest[number], entry.seconds)
        if len(piece) > _LONGEST:
            half = len(piece) // 2
            self._pieces[number : number + 1] = [piece[:half], piece[half:]]
            self._shortest[number : number + 1] = [0.0, 0.0]
            self._measure(number)
            self._measure(number + 1)

    def remove(self, entry: Entry) -> None:
        """It is there."""
        number = bisect_left(self._pieces, entry, key=_last)
        piece = self._pieces[number]
        del piece[bisect_left(piece, entry)]
        if not piece:
            del self._pieces[number], self._shortest[number]
        elif entry.seconds <= self._shortest[number]:
            self._measure(number)

    def _measure(self, number: int) -> None:
        self._shortest[number] = min(entry.seconds for entry in self._pieces[number])

    def next(self, piece: int, place: int, within: float) -> tuple[int, int] | None:
        """The first entry from there on that should not run for longer than that; None: there is none."""
        pieces, shortest = self._pieces, self._shortest
        while piece < len(pieces):
            if shortest[piece] <= within:
                entries = pieces[piece]
                for number in range(place, len(entries)):
                    if entries[number].seconds <= within:
                        return piece, number
            piece, place = piece + 1, 0
        return None

    def next_since(self, piece: int, place: int, since: float) -> tuple[tuple[int, int] | None, float]:
        """The first entry from there on that waits since then or longer, and since when any before it waits."""
        passed = math.inf
        for number in range(piece, len(self._pieces)):
            entries = self._pieces[number]
            for index in range(place if number == piece else 0, len(entries)):
                waits = entries[index].job.waits_since
                if waits <= since:
                    return (number, index), passed
                passed = min(passed, waits)
        return None, passed

    @property
    def first(self) -> Entry:
        """Of a line that is not empty."""
        return self._pieces[0][0]

    def at(self, piece: int, place: int) -> Entry:
        """One of them."""
        return self._pieces[piece][place]


class Cursor:
    """A place in a line; it only goes on.

    Attributes:
        line: it is not empty.
        entry: the one that it stands at.
    """

    __slots__ = ("_piece", "_place", "entry", "line")

    def __init__(self, line: Line) -> None:
        self.line = line
        self._piece = self._place = 0
        self.entry = line.first

    def advance(self, within: float) -> bool:
        """To the next one that should not run for longer than that; False: there is none."""
        return self._go(self.line.next(self._piece, self._place + 1, within))

    def advance_to(self, since: float) -> tuple[bool, float]:
        """To the next one that waits since then or longer, if there is one; and since when any before it waits."""
        found, passed = self.line.next_since(self._piece, self._place + 1, since)
        return self._go(found), passed

    def _go(self, found: tuple[int, int] | None) -> bool:
        if found is None:
            return False
        self._piece, self._place = found
        self.entry = self.line.at(*found)
        return True
