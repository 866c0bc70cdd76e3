"""Figures of several policies side by side: the rows of a table, and JSON values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.simulation.compare import Trial
from orchestrator.simulation.metrics import Distribution, Figures

_Cell = Callable[[Figures], str]


def heads(trials: Sequence[Trial]) -> list[str]:
    """The heads of the columns, as `cli.output.table` wants them."""
    return ["figure", *(f">{trial.name}" for trial in trials)]


def rows(trials: Sequence[Trial]) -> list[list[str]]:
    """One row a figure, one column a policy; figures that say nothing here are left out."""
    made = [[name, *(cell(trial.figures) for trial in trials)] for name, cell in _ROWS]
    return [row for row in made if any(cell not in ("", "0", "0.0 %") for cell in row[1:]) or row[0] in _ALWAYS]


def document(trial: Trial) -> dict[str, object]:
    """One policy's figures as JSON values."""
    return {
        "name": trial.name,
        "policy": trial.policy.model_dump(mode="json"),
        "stopped": trial.result.stopped,
        "figures": trial.figures.document(),
    }


def _seconds(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _hours(slot_seconds: float) -> str:
    return f"{slot_seconds / 3_600:,.0f}" if slot_seconds else "0"


def _count(value: int) -> str:
    return f"{value:,}"


def _of(chosen: Callable[[Figures], Distribution | None], name: str, digits: int = 0) -> _Cell:
    def cell(figures: Figures) -> str:
        found = chosen(figures)
        return "" if found is None else f"{getattr(found, name):,.{digits}f}"

    return cell


_ALWAYS = frozenset({"jobs", "average JCT, s", "average wait, s", "median wait, s", "p99 wait, s", "utilisation"})

_ROWS: tuple[tuple[str, _Cell], ...] = (
    ("jobs", lambda f: _count(f.jobs)),
    ("unfinished", lambda f: _count(f.unfinished)),
    ("average JCT, s", _of(lambda f: f.jct, "mean")),
    ("median JCT, s", _of(lambda f: f.jct, "median")),
    ("p99 JCT, s", _of(lambda f: f.jct, "p99")),
    ("average wait, s", _of(lambda f: f.wait, "mean")),
    ("median wait, s", _of(lambda f: f.wait, "median")),
    ("p99 wait, s", _of(lambda f: f.wait, "p99")),
    ("average time lost, s", _of(lambda f: f.time_lost, "mean")),
    ("p99 time lost, s", _of(lambda f: f.time_lost, "p99")),
    ("average time lost, jobs above 8 GPUs, s", _of(lambda f: f.wide_time_lost, "mean")),
    ("p99 time lost, jobs above 8 GPUs, s", _of(lambda f: f.wide_time_lost, "p99")),
    ("average bounded slowdown", _of(lambda f: f.slowdown, "mean", 2)),
    ("makespan, s", lambda f: _seconds(f.makespan)),
    ("utilisation", lambda f: _share(f.utilisation)),
    ("useful", lambda f: _share(f.useful)),
    ("fragmentation", lambda f: _share(f.fragmentation)),
    ("median finish-time ratio", _of(lambda f: f.fairness, "median", 2)),
    ("p99 finish-time ratio", _of(lambda f: f.fairness, "p99", 2)),
    ("preemptions", lambda f: _count(f.preemptions)),
    ("resizes", lambda f: _count(f.resizes)),
    ("node failures", lambda f: _count(f.node_failures)),
    ("lost work, GPU-hours", lambda f: _hours(f.lost_work)),
    ("charged, GPU-hours", lambda f: _hours(f.charged)),
    ("killed by a limit or somebody", lambda f: _count(f.killed)),
)
