"""Plots of a comparison: queue and utilisation over time, and the distribution of JCTs. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.base.errors import UsageError
from orchestrator.simulation.compare import Compared

_DAY = 86_400.0
_HOUR = 3_600.0


def plot(compared: Sequence[Compared], path: Path) -> None:
    """Write the plot; the file's ending says how.

    Args:
        compared: one line for each.
        path: ends with one of `formats.PLOTS`.

    Raises:
        UsageError: it cannot be written.
    """
    with matplotlib.rc_context({"svg.hashsalt": "orchestrator", "font.size": 9}):
        figure = Figure(figsize=(9, 9), layout="constrained")
        queue, used, jct = figure.subplots(3, 1)
        for one in compared:
            _lines(one, queue, used, jct)
        _label(queue, "days", "jobs that wait")
        _label(used, "days", "slots held, share of the capacity")
        _label(jct, "job completion time, hours", "share of jobs")
        used.set_ylim(0, 1.05)
        if any(one.result.outcomes for one in compared):
            jct.set_xscale("log")
        queue.legend()
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        except OSError as error:
            raise UsageError(f"cannot write {str(path)[:200]!r}: {error.strerror or error}") from None


def _lines(one: Compared, queue: Axes, used: Axes, jct: Axes) -> None:
    series = one.series
    days = [(time - one.result.began) / _DAY for time in series.times]
    queue.step(days, series.queue, where="post", label=one.name, linewidth=1)
    shares = [held / capacity if capacity else 0.0 for held, capacity in zip(series.used, series.capacity, strict=True)]
    used.step(days, shares, where="post", label=one.name, linewidth=1)
    hours = sorted(max(outcome.jct, 1.0) / _HOUR for outcome in one.result.outcomes)
    jct.step(hours, [(i + 1) / len(hours) for i in range(len(hours))], where="post", label=one.name, linewidth=1)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
