"""Trials as a table: the best first."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from orchestrator.base.text import human, one_line
from orchestrator.blueprint.outcome import ERROR, MEASURED_STATES
from orchestrator.cli.human import duration, figure
from orchestrator.cli.output import state, table
from orchestrator.cli.resultcsv import keys
from orchestrator.spec.messages import TrialView

_TOLD = (ERROR, "val_loss", "train_loss", "data/skipped_samples")
"""The metrics that the table shows, where trials have them; CSV and JSON hold all."""

_HASH = re.compile(r"[0-9a-f]{64}")
_DIGITS = 16
"""Of a hash; the whole of it is in `--json`."""
_SHOWN = 10


def best_trials(trials: Sequence[TrialView], *, shown: int = _SHOWN) -> str:
    """A table of the best trials, those that have ended first; empty where none has begun."""
    ordered = sorted((trial for trial in trials if trial.state != "pending"), key=_rank)
    if not ordered:
        return ""
    heads, columns = _columns(ordered)
    rows = [_row(trial, columns) for trial in ordered[:shown]]
    rest = len(ordered) - shown
    more = f"\n… and {rest} more (--json and --csv have them all)" if rest > 0 else ""
    return table(heads, rows) + more


def _rank(trial: TrialView) -> tuple[bool, float, int]:
    error = trial.metrics.get(ERROR, math.inf)
    return (trial.state not in MEASURED_STATES, math.inf if math.isnan(error) else error, trial.index)


def _columns(trials: Sequence[TrialView]) -> tuple[list[str], tuple[list[str], list[str], list[str]]]:
    names = tuple(keys(getattr(t, part) for t in trials) for part in ("parameters", "complexity", "metrics"))
    parameters, complexity, measured = names
    metrics = [name for name in _TOLD if name in measured] or measured
    heads = [">trial", "state", *(f">{n}" for n in (*parameters, *complexity, *metrics)), ">epochs", ">time"]
    return heads, (parameters, complexity, metrics)


def _row(trial: TrialView, columns: tuple[list[str], list[str], list[str]]) -> list[str]:
    parameters, complexity, metrics = columns
    return [
        str(trial.index),
        state(trial.state),
        *(value_text(trial.parameters.get(name)) for name in parameters),
        *(human(trial.complexity[name]) if name in trial.complexity else "" for name in complexity),
        *(value_text(trial.metrics.get(name)) for name in metrics),
        figure(trial.epochs),
        duration(trial.seconds),
    ]


def value_text(value: object) -> str:
    """A parameter, or what else a document holds, in short."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return figure(value) if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return ", ".join(value_text(entry) for entry in value)
    text = one_line(str(value))
    return text[:_DIGITS] if _HASH.fullmatch(text) else text
