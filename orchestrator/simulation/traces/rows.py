"""Tables of traces: rows with their line numbers, typed cells, and a word on every bad row."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.text import counted, one_line
from orchestrator.simulation.traces.files import opened
from orchestrator.simulation.traces.trace import Trace, TraceJob

_SHOWN = 20
_GIVEN_UP = 1_000


class LeftOut(Exception):
    """A job that cannot be simulated; the message is the reason, which jobs are counted by."""


class Row:
    """One row of a table, or one entry of a list."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Mapping[str, str | None]) -> None:
        self._cells = cells

    def text(self, name: str) -> str:
        """A cell; empty where the column is missing or the cell says that there is nothing."""
        cell = (self._cells.get(name) or "").strip()
        return "" if cell in {"nan", "None", "NULL", "N/A"} else cell

    def number(self, name: str) -> float:
        """A cell that holds a number that is not negative.

        Raises:
            ValueError: it does not.
        """
        return number(self.text(name), name)

    def whole(self, name: str) -> int:
        """A cell that holds a whole number that is not negative.

        Raises:
            ValueError: it does not.
        """
        found = self.number(name)
        if found != int(found):
            raise ValueError(f"{name} is {self.text(name)!r}, not a whole number")
        return int(found)


class Collector:
    """Takes jobs row by row; remembers what was bad and what was left out.

    Args:
        path: of the file, for messages.
        skip_bad: so many bad rows are tolerated.
    """

    def __init__(self, path: Path, skip_bad: int) -> None:
        self._path = path
        self._skip_bad = skip_bad
        self._jobs: list[TraceJob] = []
        self._first: dict[str, object] = {}
        self._left_out: Counter[str] = Counter()
        self._bad: list[str] = []

    def take(self, place: object, make: Callable[[], TraceJob]) -> None:
        """One job, from the line `place` of the file.

        Raises:
            UsageError: there are so many bad rows that the rest of the file is not worth reading.
        """
        try:
            job = make()
            if job.id in self._first:
                raise ValueError(f"the job {job.id!r} is there twice, first at {self._first[job.id]}")
        except LeftOut as reason:
            self._left_out[str(reason)] += 1
            return
        except ValueError as error:
            self.bad(place, str(error))
            return
        self._first[job.id] = place
        self._jobs.append(job)

    def bad(self, place: object, message: str) -> None:
        """A row that cannot be read.

        Raises:
            UsageError: there are so many that the rest of the file is not worth reading.
        """
        self._bad.append(f"{self._path}:{place}: {one_line(message)}")
        if len(self._bad) > self._skip_bad + _GIVEN_UP:
            raise self._refusal()

    def settle(self) -> None:
        """Refuse a file with more bad rows than are tolerated.

        Raises:
            UsageError: it has; the message shows the first of them.
        """
        if len(self._bad) > self._skip_bad:
            raise self._refusal()

    def trace(self, layout: str) -> Trace:
        """All of it.

        Raises:
            UsageError: there are more bad rows than are tolerated, or no jobs.
        """
        self.settle()
        if not self._jobs:
            why = "; ".join(f"{count:,} {reason}" for reason, count in self._left_out.items())
            raise UsageError(
                f"{self._path} holds no job that can be simulated" + (f": {why}" if why else ""),
                hint="jobs need a GPU, a start and an end; docs/simulation.md says how each layout is read",
            )
        jobs = sorted(self._jobs, key=lambda job: job.submitted)
        return Trace(layout, tuple(jobs), dict(self._left_out), tuple(self._bad))

    def _refusal(self) -> UsageError:
        shown = "\n".join(self._bad[:_SHOWN])
        more = f"\n… and {len(self._bad) - _SHOWN:,} more" if len(self._bad) > _SHOWN else ""
        return UsageError(
            f"{counted(len(self._bad), 'bad row')}\n{shown}{more}",
            hint=f"--skip-bad {len(self._bad)} reads the rest; --format says how the file is to be read",
        )


def number(text: str, name: str) -> float:
    """A finite number that is not negative.

    Raises:
        ValueError: it is not.
    """
    try:
        found = float(text)
    except ValueError:
        raise ValueError(f"{name} is {text[:40]!r}, not a number" if text else f"{name} is missing") from None
    if not math.isfinite(found) or found < 0:
        raise ValueError(f"{name} is {text[:40]}: expected a number that is not negative")
    return found


def calendar(text: str, name: str) -> float:
    """Seconds of a time such as `2020-06-09 18:41:01`; one without an offset is read as UTC: only differences count.

    Raises:
        ValueError: it is no time.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name} is {text[:40]!r}, not a time such as 2020-06-09 18:41:01") from None
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).timestamp()


def header(path: Path) -> list[str]:
    """The first row of a table.

    Raises:
        UsageError: it cannot be read.
    """
    with opened(path) as file:
        return [name.strip() for name in next(_Lines(file, path), [])]


def table(path: Path, names: Sequence[str] | None = None) -> Iterator[tuple[int, Row]]:
    """Rows with the numbers of their lines.

    Args:
        path: of the file.
        names: of the columns, where the file has no header; a header that repeats them is passed over.

    Raises:
        UsageError: it cannot be read.
    """
    with opened(path) as file:
        reader = _Lines(file, path)
        columns = list(names) if names is not None else [name.strip() for name in next(reader, [])]
        for cells in reader:
            if cells and cells != columns:
                yield reader.line_num, Row(dict(zip(columns, cells, strict=False)))


class _Lines:
    """csv's reader, whose errors name the file."""

    def __init__(self, file: io.TextIOBase, path: Path) -> None:
        self._reader = csv.reader(file)
        self._path = path

    @property
    def line_num(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self._reader)
        except csv.Error as error:
            raise UsageError(f"{self._path}:{self._reader.line_num}: {error}", hint="is it a CSV file?") from None


def one_table(path: Path, skip_bad: int, layout: str, job_of: Callable[[Row], TraceJob]) -> Trace:
    """A trace that is one table, one job a row.

    Args:
        path: of the file.
        skip_bad: so many bad rows are tolerated.
        layout: its name.
        job_of: what a row says; it raises `LeftOut` for what cannot be simulated, and ValueError for what is wrong.

    Raises:
        UsageError: it cannot be read, or has more bad rows than are tolerated.
    """
    collector = Collector(path, skip_bad)
    for line, row in table(path):
        collector.take(line, partial(job_of, row))
    return collector.trace(layout)
