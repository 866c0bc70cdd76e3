"""Progress on stderr: rich bars where a person watches, plain lines where a file or a pipe does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.base.text import one_line
from orchestrator.cli.history import repeats
from orchestrator.cli.human import clock, figure, size
from orchestrator.cli.jobtext import event_line, job_progress
from orchestrator.cli.output import note
from orchestrator.cli.watch import Display
from orchestrator.spec.messages import EventView, JobView

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_QUIET_KINDS = frozenset({"progress", "trial", "checkpoint"})
_WAITING = frozenset({"queued", "held", "recovering"})
_LINE_SECONDS = 10.0
_RATE_SECONDS = 2.0

LISTING = -1
"""A total that is not known yet."""


@contextmanager
def job_display() -> Iterator[Display]:
    """What shows a job's life, as fits stderr."""
    if not sys.stderr.isatty():
        yield PlainDisplay()
        return
    with _bars() as bars:
        yield LiveDisplay(bars)


class PlainDisplay:
    """A line for each event, for each new reason to wait, and now and then for progress."""

    def __init__(self, *, write: Callable[[str], None] = note, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._monotonic = monotonic
        self._said = ""
        self._written = float("-inf")

    def event(self, event: EventView) -> None:
        """Say what happened."""
        if event.kind not in _QUIET_KINDS and not repeats(event) and (not event.message or event.message != self._said):
            self._said = event.message
            self._write(event_line(event))

    def job(self, job: JobView) -> None:
        """Say why it waits or how far it is, where that is news; progress only when the last word is long ago."""
        waits = job.state in _WAITING
        news = job.reason if waits else job_progress(job)
        now = self._monotonic()
        if news and news != self._said and (waits or now - self._written >= _LINE_SECONDS):
            self._said, self._written = news, now
            self._write(f"{clock(time.time())}  {job.state:<13} {one_line(news)}")


class LiveDisplay:
    """A bar that is redrawn, and a line above it for each event."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID = bars.add_task("", total=None, text="")

    def event(self, event: EventView) -> None:
        """Say what happened, above the bar."""
        if event.kind not in _QUIET_KINDS and not repeats(event):
            self._bars.console.print(event_line(event), markup=False, highlight=False, soft_wrap=True)

    def job(self, job: JobView) -> None:
        """Redraw the bar."""
        progress = job.progress
        self._bars.update(
            self._task,
            description=f"{one_line(job.name, 40)} {job.state}",
            total=progress.total if progress is not None and progress.total else None,
            completed=progress.done if progress is not None else 0,
            text=job_progress(job) or one_line(job.reason),
        )


@contextmanager
def counter(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A callback `(done, total)` that shows the progress and the rate of local work such as `data build`.

    While the work is still being listed, the total is LISTING and `done` is what was looked at so far.
    """
    rate = _Rate(unit)
    if not sys.stderr.isatty():
        yield _count_in_lines(what, rate)
        return
    with _bars() as bars:
        task = bars.add_task(what, total=None, text="")

        def show(done: int, total: int) -> None:
            bars.update(
                task,
                completed=min(done, max(0, total)),
                total=None if total == LISTING else total,
                text=rate.text(done, total),
            )

        yield show


class _Rate:
    """Words for how far something is and how fast it goes: what was done before the first word does not count."""

    def __init__(self, unit: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._unit = unit
        self._monotonic = monotonic
        self._first: tuple[float, int] | None = None

    def text(self, done: int, total: int) -> str:
        """`4,512/45,000 rows, 1,204/s`; while they are listed, `listing: 120,000 looked at`."""
        if total == LISTING:
            return f"listing: {done:,} looked at"
        now = self._monotonic()
        if self._first is None:
            self._first = now, done
        seconds, more = now - self._first[0], done - self._first[1]
        rate = more / seconds if seconds >= _RATE_SECONDS and more > 0 else 0.0
        if self._unit == "bytes":
            return f"{size(done)}/{size(total)}" + (f", {size(rate)}/s" if rate else "")
        return f"{done:,}/{total:,} {self._unit}" + (f", {figure(float(f'{rate:.3g}'))}/s" if rate else "")


def _count_in_lines(
    what: str,
    rate: _Rate,
    *,
    write: Callable[[str], None] = note,
    monotonic: Callable[[], float] = time.monotonic,
) -> Callable[[int, int], None]:
    """A line now and then, and one at the end."""
    written = monotonic()
    ended = False

    def show(done: int, total: int) -> None:
        nonlocal written, ended
        text, now = rate.text(done, total), monotonic()
        end = total != LISTING and done >= total
        if (end and not ended) or now - written >= _LINE_SECONDS:
            written, ended = now, end
            write(f"{what} {text}")

    return show


@contextmanager
def _bars() -> Iterator[Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:
        yield bars
