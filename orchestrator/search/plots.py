"""The plots of a search: the error EDF, error against each parameter of the models, and Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from orchestrator.base.text import counted
from orchestrator.blueprint.edf import Edf
from orchestrator.blueprint.outcome import ERROR, Trial, front, measured
from orchestrator.search.edf import Band, LikelyBest, edf_band

_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9680f", "#6b7280"
_LABELS = {
    "depth": "depth: blocks",
    "w0": "$w_0$: initial width",
    "wa": "$w_a$: slope of the widths",
    "wm": "$w_m$: quantisation of the widths",
    "group_width": "$g$: group width",
    "flops": "flops: multiply-adds of an image",
    "params": "parameters",
    "activations": "activations of an image",
}
_COUNTS = frozenset({"flops", "params", "activations"})
_PANEL = (6.4, 4.4)
"""Inches."""
_FRAME = (0.145, 0.125, 0.83, 0.74)
"""Left, bottom, width and height of the axes of a panel that stands alone: a computed layout takes time."""
_WIDE = 20
"""Costs that lie this many times apart are drawn on a logarithmic axis."""
_RESAMPLES = 1000


@dataclass(frozen=True)
class Caption:
    """What is written above a plot: a title, and one smaller line."""

    title: str
    detail: str


@dataclass(frozen=True)
class Costs:
    """Cost and error of models, and their Pareto front.

    Attributes:
        name: of the cost, such as `flops`.
        all: (cost, error) of each model.
        front: of those that no other beats in both, by rising cost.
    """

    name: str
    all: tuple[tuple[float, float], ...]
    front: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, trials: Sequence[Trial], cost: str) -> Costs:
        """Of the measured ones of these trials whose cost is known."""
        known = [trial for trial in measured(trials) if cost in trial.complexity]
        pairs = [tuple((t.complexity[cost], t.metrics[ERROR]) for t in some) for some in (known, front(known, cost))]
        return cls(cost, pairs[0], pairs[1])

    @property
    def detail(self) -> str:
        """How many there are."""
        return f"{counted(len(self.all), 'model')}, one a dot; {len(self.front)} on the front"


def plot_edf(path: Path, edf: Edf, band: Band | None, caption: Caption) -> None:
    """Write a PNG of the error EDF.

    Args:
        path: the file.
        edf: of validation errors.
        band: its 95 % confidence band.
        caption: above it.
    """
    figure, axes = _figure(caption)
    _draw_edf(axes, edf, band)
    _save(figure, path)


def plot_parameter(
    path: Path, name: str, values: Sequence[float], errors: Sequence[float], likely: LikelyBest, caption: Caption
) -> None:
    """Write a PNG of error against one parameter.

    Args:
        path: the file.
        name: of the parameter.
        values: one a model.
        errors: of the models.
        likely: which values good models have.
        caption: above it.
    """
    figure, axes = _figure(caption)
    wide = f"good models: {_short(name, likely.low)} to {_short(name, likely.high)} (95 %)"
    axes.axvspan(likely.low, likely.high, color=_BLUE, alpha=0.12, linewidth=0, label=wide)
    axes.axvline(likely.median, color=_BLUE, linewidth=1.2, label=f"most likely best: {_short(name, likely.median)}")
    axes.scatter(values, errors, s=36, color=_GREY, edgecolors="white", linewidths=0.6, zorder=3)
    best = min(range(len(errors)), key=errors.__getitem__)
    axes.scatter([values[best]], [errors[best]], s=80, color=_ORANGE, edgecolors="white", zorder=4, label="best model")
    axes.set_xlabel(_LABELS.get(name, name))
    axes.set_ylabel("validation error")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    if name in _COUNTS:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")
    _save(figure, path)


def plot_front(path: Path, costs: Costs, caption: Caption) -> None:
    """Write a PNG of error against a cost, with the Pareto front.

    Args:
        path: the file.
        costs: of at least one model.
        caption: above it.
    """
    figure, axes = _figure(caption)
    _draw_front(axes, costs)
    _save(figure, path)


def plot_overview(path: Path, trials: Sequence[Trial], costs: Sequence[str], caption: Caption) -> None:
    """Write the EDF and the Pareto fronts side by side; the file's ending says how.

    Args:
        path: the file.
        trials: of which at least one is measured.
        costs: a front is drawn for each of them that is known of a model.
        caption: above the EDF.

    Raises:
        OSError: it cannot be written.
    """
    drawn = [found for cost in costs if (found := Costs.of(trials, cost)).all]
    edf = Edf.of([trial.metrics[ERROR] for trial in measured(trials)])
    figure = Figure(figsize=(_PANEL[0] * (1 + len(drawn)), _PANEL[1]), layout="constrained")
    FigureCanvasAgg(figure)
    first, *others = figure.subplots(1, 1 + len(drawn), squeeze=False)[0]
    _dress(first, caption)
    _draw_edf(first, edf, edf_band(edf, resamples=_RESAMPLES, seed=0))
    for axes, found in zip(others, drawn, strict=True):
        _dress(axes, Caption(f"Pareto front, error against {found.name}", found.detail))
        _draw_front(axes, found)
    _save(figure, path)


def _draw_edf(axes: Axes, edf: Edf, band: Band | None) -> None:
    at, above = edf.steps()
    if band is not None:
        axes.fill_between(
            band.at, band.low, band.high, step="post", color=_BLUE, alpha=0.15, linewidth=0, label="95 % bootstrap band"
        )
    first, last = at[0], at[-1]
    margin = 0.06 * (last - first) or 0.05
    axes.step([first - margin, *at, last + margin], [0, *above, 1], where="post", color=_BLUE, linewidth=2, label="EDF")
    axes.axvline(first, color=_ORANGE, linewidth=1.2, linestyle="--", label=f"best {first:.2%}")
    axes.set_xlim(first - margin, last + margin)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("validation error $e$")
    axes.set_ylabel("fraction of models with error below $e$")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1 if last - first < 0.1 else 0))
    axes.legend(loc="lower right", frameon=False)


def _draw_front(axes: Axes, costs: Costs) -> None:
    at, errors = zip(*costs.all, strict=True)
    axes.scatter(at, errors, s=36, color=_GREY, edgecolors="white", linewidths=0.6, zorder=3)
    ends, lowest = zip(*costs.front, strict=True)
    # To the right of the front's last model nothing is gained; up to its first, nothing is known.
    axes.step([*ends, max(at)], [*lowest, lowest[-1]], where="post", color=_ORANGE, linewidth=1.2, zorder=2)
    axes.scatter(ends, lowest, s=80, color=_ORANGE, edgecolors="white", zorder=4, label="Pareto front")
    if min(at) > 0 and max(at) / min(at) > _WIDE:
        axes.set_xscale("log")
    axes.set_xlabel(_LABELS.get(costs.name, costs.name))
    axes.set_ylabel("validation error")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")


def _short(name: str, value: float) -> str:
    return str(EngFormatter(places=2, sep="")(value)) if name in _COUNTS else f"{value:g}"


def _figure(caption: Caption) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_PANEL)
    FigureCanvasAgg(figure)
    axes = figure.add_axes(_FRAME)
    _dress(axes, caption)
    return figure, axes


def _dress(axes: Axes, caption: Caption) -> None:
    axes.set_title(caption.title, loc="left", fontsize=12, fontweight="bold", pad=22)
    axes.text(0, 1.025, caption.detail, transform=axes.transAxes, fontsize=9, color=_GREY)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    # The same numbers make the same bytes: no date, no version in the file.
    left_out = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}[path.suffix.lower()]
    with rc_context({"svg.hashsalt": "orchestrator"}):
        figure.savefig(path, dpi=150, metadata={left_out: None})
