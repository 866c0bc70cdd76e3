"""Figures of several policies side by side, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.human import duration
from orchestrator.cli.output import table

if TYPE_CHECKING:
    from orchestrator.simulation.compare import Compared
    from orchestrator.simulation.metrics import Distribution, Figures

_BEST = "*"
_NOTHING = frozenset({"", "0", "0s", "0.0 %"})


@dataclass(frozen=True)
class _Row:
    """One figure.

    Attributes:
        name: what it is called.
        value: of a policy; None where there is none.
        text: a value as people read it.
        better: the sign of better values: -1 small ones, 1 large ones; 0: neither is.
        always: shown, too, where it says nothing.
    """

    name: str
    value: Callable[[Figures], float | None]
    text: Callable[[float], str]
    better: int = -1
    always: bool = False

    def cells(self, figures: Sequence[Figures], *, rated: bool) -> list[str]:
        """One a policy; the best ones bear a star, where they are to be rated and not all look alike."""
        values = [self.value(one) for one in figures]
        texts = ["" if value is None else self.text(value) for value in values]
        known = [value * self.better for value in values if value is not None]
        if not rated or not self.better or not known or len(set(texts)) == 1:
            return texts
        best = self.text(max(known) * self.better)
        return [_BEST + text if text == best else text for text in texts]


def comparison_table(compared: Sequence[Compared]) -> str:
    """One row a figure, one column a policy; figures that say nothing here are left out.

    The best values of a row bear a star, unless a policy did not come to an end: its figures are not of the same jobs.
    """
    figures = [one.figures for one in compared]
    rated = not any(one.result.stopped or one.result.unfinished for one in compared)
    rows = [(row, row.cells(figures, rated=rated)) for row in _ROWS]
    shown = [[row.name, *cells] for row, cells in rows if row.always or not _NOTHING.issuperset(cells)]
    told = table(["figure", *(f">{one.name}" for one in compared)], shown)
    starred = any(cell.startswith(_BEST) for _, *cells in shown for cell in cells)
    return f"{told}\n\n{_BEST} the best of its row" if starred else told


def _of(chosen: Callable[[Figures], Distribution | None], name: str) -> Callable[[Figures], float | None]:
    def value(figures: Figures) -> float | None:
        found = chosen(figures)
        return None if found is None else float(getattr(found, name))

    return value


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _ratio(value: float) -> str:
    return f"{value:,.2f}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _hours(slot_seconds: float) -> str:
    return f"{slot_seconds / 3_600:,.0f}"


_ROWS = (
    _Row("jobs", lambda f: f.jobs, _count, 0, always=True),
    _Row("unfinished", lambda f: f.unfinished, _count, 0),
    _Row("average JCT", _of(lambda f: f.jct, "mean"), duration, always=True),
    _Row("median JCT", _of(lambda f: f.jct, "median"), duration),
    _Row("p99 JCT", _of(lambda f: f.jct, "p99"), duration),
    _Row("average wait", _of(lambda f: f.wait, "mean"), duration, always=True),
    _Row("median wait", _of(lambda f: f.wait, "median"), duration, always=True),
    _Row("p99 wait", _of(lambda f: f.wait, "p99"), duration, always=True),
    _Row("average time lost", _of(lambda f: f.time_lost, "mean"), duration),
    _Row("p99 time lost", _of(lambda f: f.time_lost, "p99"), duration),
    _Row("average time lost, jobs above 8 GPUs", _of(lambda f: f.wide_time_lost, "mean"), duration),
    _Row("p99 time lost, jobs above 8 GPUs", _of(lambda f: f.wide_time_lost, "p99"), duration),
    _Row("average bounded slowdown", _of(lambda f: f.slowdown, "mean"), _ratio),
    _Row("makespan", lambda f: f.makespan, duration),
    _Row("utilisation", lambda f: f.utilisation, _share, 0, always=True),
    _Row("useful", lambda f: f.useful, _share, 1),
    _Row("fragmentation", lambda f: f.fragmentation, _share),
    _Row("median finish-time ratio", _of(lambda f: f.fairness, "median"), _ratio),
    _Row("p99 finish-time ratio", _of(lambda f: f.fairness, "p99"), _ratio),
    _Row("preemptions", lambda f: f.preemptions, _count, 0),
    _Row("resizes", lambda f: f.resizes, _count, 0),
    _Row("node failures", lambda f: f.node_failures, _count, 0),
    _Row("lost work, GPU-hours", lambda f: f.lost_work, _hours, 0),
    _Row("charged, GPU-hours", lambda f: f.charged, _hours, 0),
    _Row("ended by a limit, or killed in the trace", lambda f: f.killed, _count, 0),
)
