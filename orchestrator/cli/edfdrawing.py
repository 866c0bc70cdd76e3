"""The error EDF as a small drawing of characters, for a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.blueprint.edf import Edf

WIDTH, HEIGHT = 60, 8
"""Of the drawing without its axes, in characters."""
_SCALE = {0: "0", 0.5: "0.5", 1: "1"}
_MARGIN = 4
"""Columns left of the lowest error and right of the highest."""


@dataclass(frozen=True)
class Characters:
    """What is drawn with.

    Attributes:
        levels: of a filled column, from empty to full, evenly.
        upright: of the vertical axis.
        mark: of the vertical axis beside a number.
        corner: where the axes meet.
        level: of the horizontal axis.
        tick: of the horizontal axis above a number.
    """

    levels: str
    upright: str
    mark: str
    corner: str
    level: str
    tick: str


UNICODE = Characters(" ▁▂▃▄▅▆▇█", "│", "┤", "└", "─", "┴")
ASCII = Characters(" #", "|", "+", "+", "-", "+")


def characters(encoding: str | None = None, environment: Mapping[str, str] | None = None) -> Characters:
    """Those that the terminal can show.

    Args:
        encoding: of what is written to; default: of stdout.
        environment: tells the locale; default: that of this process.
    """
    names = os.environ if environment is None else environment
    locale = next((found for name in ("LC_ALL", "LC_CTYPE", "LANG") if (found := names.get(name))), "")
    if locale in {"C", "POSIX"}:
        return ASCII
    try:
        "".join(vars(UNICODE).values()).encode(encoding or sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return ASCII
    return UNICODE


def draw_edf(errors: Sequence[float], using: Characters, *, width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """The lines of the drawing: the fraction of models with an error of at most that of the column.

    Args:
        errors: of at least one model.
        using: the characters.
        width: columns.
        height: rows.
    """
    edf = Edf.of(errors)
    first, last = edf.errors[0], edf.errors[-1]
    each = (last - first) / (width - 1 - 2 * _MARGIN) or 0.01 / width
    columns = [edf.up_to(first + (column - _MARGIN) * each) for column in range(width - _MARGIN)]
    columns += [1.0] * _MARGIN
    lines = [_row(row, height, columns, using) for row in reversed(range(height))]
    marks = _marks(edf.thresholds() or (first,), first, each, width)
    axis = "".join(using.tick if column in marks else using.level for column in range(width))
    return [*lines, f"{_SCALE[0]:>5} {using.corner}{axis}", " " * 7 + _labels(marks)]


def _row(row: int, height: int, columns: Sequence[float], using: Characters) -> str:
    steps = len(using.levels) - 1
    filled = [round(fraction * height * steps) - row * steps for fraction in columns]
    text = "".join(using.levels[max(0, min(steps, level))] for level in filled)
    label = _SCALE.get((row + 1) / height, "")
    return f"{label:>5} {using.mark if label else using.upright}{text}".rstrip()


def _marks(at: Sequence[float], first: float, each: float, width: int) -> dict[int, str]:
    """Columns of these errors, those that lie in the drawing, with what is written below them."""
    labels = {round((error - first) / each) + _MARGIN: f"{error:g}" for error in at}
    inside = {column: text for column, text in labels.items() if column + len(text) <= width}
    crowded = any(after - before <= len(inside[before]) for before, after in pairwise(inside))
    return dict(list(inside.items())[::2]) if crowded else inside


def _labels(marks: Mapping[int, str]) -> str:
    line = ""
    for column, text in marks.items():
        line = line.ljust(column) + text
    return line
