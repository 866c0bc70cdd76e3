"""What a scan gathers beside samples: inputs left out, which state of which files it stands on, how far it is."""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from orchestrator.data.source import Sample, Skipped, Source

MOST_NAMED = 100_000
"""Inputs that are listed by name for each reason; the others are counted."""

MOST_NAMED_IN_ALL = 500_000
"""Inputs that are listed by name for all reasons together."""

MOST_COUNTED = 1_000
"""Reasons whose unnamed inputs are counted apart; those of all further reasons are counted together."""

FURTHER = "left out for further reasons"

Tell = Callable[[int], None]
"""Called with how many files, rows and entries of a source were looked at so far."""

_TOLD_EVERY = 64
_TOLD_EVERY_SECONDS = 0.2
_STAMP = struct.Struct("<qqq")


class Listing:
    """Gathers what a scan finds beside its samples.

    Memory stays bounded, about 100 MB at the worst: past `MOST_NAMED` names a reason only counts, and all do past
    `MOST_NAMED_IN_ALL`.

    Args:
        tell: told now and then how far the scan is.
        monotonic: the clock.
    """

    def __init__(self, tell: Tell | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._named: list[Skipped] = []
        self._names: Counter[str] = Counter()
        self._unnamed: Counter[tuple[str, bool]] = Counter()
        self._warnings: list[str] = []
        self._inputs = hashlib.sha256()
        self._tell = tell
        self._seen = 0
        self._monotonic = monotonic
        self._told = monotonic()
        if tell is not None:
            tell(0)

    def add(self, name: str, reason: str, count: int = 1, *, annotation: bool = False) -> None:
        """List one input that is left out, or so many together; or an annotation, which is a part of one."""
        self._keep(Skipped(name, reason, count, annotation))
        self.passed()

    def warn(self, warning: str) -> None:
        """Tell a person of something odd about the source as a whole."""
        self._warnings.append(warning)

    def extend(self, entries: Iterable[Skipped]) -> None:
        """List what was found to be left out elsewhere."""
        for entry in entries:
            self._keep(entry)

    def uses(self, path: str | os.PathLike[str]) -> None:
        """A file decides what the samples are; to be said before it is read. One that is absent decides nothing."""
        try:
            found = os.stat(path)
        except OSError:
            return
        self.saw(found)

    def saw(self, found: os.stat_result) -> None:
        """A file of this state decides what the samples are, or is what one of them is made of.

        The time of the last change of its inode is part of it: no program can set that, so that content is not replaced
        unseen, not even by as many bytes with the old time of modification.
        """
        self._inputs.update(_STAMP.pack(found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        self.passed()

    def holds(self, content: bytes) -> None:
        """The samples are made of content that lies in no file of the source."""
        self._inputs.update(hashlib.sha256(content).digest())

    def passed(self, count: int = 1) -> None:
        """So many more inputs were looked at."""
        before, self._seen = self._seen, self._seen + count
        if self._tell is not None and before // _TOLD_EVERY != self._seen // _TOLD_EVERY:
            now = self._monotonic()
            if now - self._told >= _TOLD_EVERY_SECONDS:
                self._told = now
                self._tell(self._seen)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """All that is left out, in the order in which it came; counts of what is not named come last."""
        unnamed = (Skipped(f"{count:,} more", reason, count, part) for (reason, part), count in self._unnamed.items())
        return (*self._named, *unnamed)

    def source(
        self, classes: tuple[str, ...], samples: Sequence[Sample], attributes: Mapping[str, Any] | None = None
    ) -> Source:
        """The source of these samples, with all that was gathered."""
        return Source(classes, samples, self.skipped, attributes or {}, self._inputs.hexdigest(), tuple(self._warnings))

    def _keep(self, entry: Skipped) -> None:
        if len(self._named) < MOST_NAMED_IN_ALL and self._names[entry.reason] < MOST_NAMED:
            self._names[entry.reason] += 1
            self._named.append(entry)
        else:
            kind = (entry.reason, entry.annotation)
            known = kind in self._unnamed or len(self._unnamed) < MOST_COUNTED
            self._unnamed[kind if known else (FURTHER, entry.annotation)] += entry.count


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
