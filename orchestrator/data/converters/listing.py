"""What a scan of a huge source gathers: inputs left out, by name up to a limit; samples that are made on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import overload

from orchestrator.data.source import Sample, Skipped

MOST_NAMED = 100_000
"""Inputs that are listed by name for each reason; the others are counted."""


class Listing:
    """Gathers what is left out. Memory stays bounded: past `MOST_NAMED` names a reason only counts."""

    def __init__(self) -> None:
        self._named: list[Skipped] = []
        self._counts: Counter[str] = Counter()

    def add(self, name: str, reason: str, count: int = 1) -> None:
        """List one input, or so many together."""
        self._counts[reason] += 1
        if self._counts[reason] <= MOST_NAMED:
            self._named.append(Skipped(name, reason, count))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """All of it, in the order in which it came; counts of what is not named come last."""
        more = {reason: count - MOST_NAMED for reason, count in self._counts.items() if count > MOST_NAMED}
        return (*self._named, *(Skipped(f"{count:,} more", reason, count) for reason, count in more.items()))


class OnDemand(Sequence[Sample]):
    """Samples that are made when asked for, so that a source of a billion rows takes no memory for them.

    Args:
        count: how many there are.
        make: the sample at a place in 0..count - 1; picklable, because samples travel to other processes.
    """

    def __init__(self, count: int, make: Callable[[int], Sample]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(place, slice):
            return [self._make(one) for one in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(place)
        return self._make(place % self._count)
