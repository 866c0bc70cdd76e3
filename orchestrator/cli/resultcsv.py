"""The trials of a search as CSV: one a line, every number in full, and nothing that a spreadsheet would calculate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.base.csvtable import csv_table
from orchestrator.spec.messages import TrialView


def results_csv(trials: Sequence[TrialView]) -> str:
    """All trials by index, with a column for each parameter, complexity and metric."""
    parts = ("parameters", "complexity", "metrics")
    names = {part: keys(getattr(trial, part) for trial in trials) for part in parts}
    head = ["index", "state", "seed", *(name for part in parts for name in names[part]), "epochs", "seconds", "message"]
    rows = []
    for trial in sorted(trials, key=lambda t: t.index):
        values = [getattr(trial, part).get(name) for part in parts for name in names[part]]
        rows.append([trial.index, trial.state, trial.seed, *values, trial.epochs, trial.seconds, trial.message])
    return csv_table(head, rows)


def keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """All keys, in the order in which they are met."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
