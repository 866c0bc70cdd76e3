"""The plots of a search: the error EDF with its confidence band, and error against each parameter of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from orchestrator.search.edf import Band, Edf, LikelyBest

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


@dataclass(frozen=True)
class Caption:
    """What is written above a plot: a title, and one smaller line."""

    title: str
    detail: str


def plot_edf(path: Path, edf: Edf, band: Band | None, caption: Caption) -> None:
    """Write a PNG of the error EDF.

    Args:
        path: the file.
        edf: of validation errors.
        band: its 95 % confidence band.
        caption: above it.
    """
    figure, axes = _figure(caption)
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


def _short(name: str, value: float) -> str:
    return str(EngFormatter(places=2, sep="")(value)) if name in _COUNTS else f"{value:g}"


def _figure(caption: Caption) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(caption.title, loc="left", fontsize=12, fontweight="bold", pad=22)
    axes.text(0, 1.025, caption.detail, transform=axes.transAxes, fontsize=9, color=_GREY)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    # The same numbers make the same bytes: no date, no version in the file.
    figure.savefig(path, dpi=150, metadata={"Software": None})
