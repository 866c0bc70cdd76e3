"""What a job has found, as a table of its best trials, a summary and a list of files; and as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.base.text import counted, one_line
from orchestrator.cli.human import duration, figure, size
from orchestrator.cli.output import state, table
from orchestrator.planning.text import human
from orchestrator.spec.messages import JobView, ResultFile, ResultsView, TrialView

RANKED_BY = "val_error"
"""The metric that orders trials; lower is better."""

_TOLD = ("val_error", "val_loss", "train_loss", "data/skipped_samples")
"""The metrics that the table shows, where trials have them; CSV and JSON hold all."""

_LEFT_OUT = frozenset({"seed", "checkpoint", "complexity", "kind", "likely_best"})
"""What only `--json` holds: it is long, or stands in the table already."""

_NAMES = {"parameters_sha256": "model sha256", "exact_until": "exact until", "fingerprint": "computed on"}
_NOTHING: tuple[object, ...] = (None, "", {}, [])
_HASH = re.compile(r"[0-9a-f]{64}")
_DIGITS = 16
"""Of a hash; the whole of it is in `--json`."""

_SHOWN = 10


def results_text(results: ResultsView) -> str:
    """The whole answer of `orchestrator results`."""
    job = results.job
    parts = [f"{job.id}  {one_line(job.name)}  {state(job.state)}"]
    if job.terminal and job.state != "succeeded" and job.reason:
        parts[0] += f"\n{one_line(job.reason, 1000)}"
    if job.kind == "command" and job.runs:
        parts.append(_of_a_program(job))
    if results.trials:
        parts.append(best_trials(results.trials))
    if summary := _summary(results.summary):
        parts.append(summary)
    if results.files:
        parts.append(_files(results.files))
    if results.tracking.get("enabled"):
        tracked = results.tracking
        parts.append(one_line(f"tracked in MLflow: {tracked.get('uri')}, experiment {tracked.get('experiment')}", 500))
    return "\n\n".join(parts)


def _of_a_program(job: JobView) -> str:
    """What is known of a job whose results are its own affair: how and when it ended, where its output lies."""
    run, count = job.runs[-1], counted(len(job.runs), "run")
    lines = [f"ended        {one_line(run.message, 500)}"] if run.ended_at is not None and run.message else []
    if job.started_at is not None and job.finished_at is not None:
        lines.append(f"took         {duration(job.finished_at - job.started_at)}, in {count}")
    else:
        lines.append(f"runs         {count} so far")
    logs = one_line(f"{run.directory}/logs", 1000)
    return "\n".join([*lines, f"output in    {logs}  (orchestrator logs {job.id})"])


def best_trials(trials: Sequence[TrialView], *, shown: int = _SHOWN) -> str:
    """A table of the best trials."""
    ordered = sorted(trials, key=_rank)
    heads, columns = _columns(ordered)
    rows = [_row(trial, columns) for trial in ordered[:shown]]
    rest = len(ordered) - shown
    more = f"\n… and {rest} more (--json and --csv have them all)" if rest > 0 else ""
    return table(heads, rows) + more


def results_csv(trials: Sequence[TrialView]) -> str:
    """All trials, one a line, with a column for each parameter, complexity and metric."""
    parameters, complexity, metrics = (
        _keys(t.parameters for t in trials),
        _keys(t.complexity for t in trials),
        _keys(t.metrics for t in trials),
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "state", *parameters, *complexity, *metrics, "epochs", "seconds", "message"])
    for trial in sorted(trials, key=lambda t: t.index):
        writer.writerow(
            [
                trial.index,
                trial.state,
                *(trial.parameters.get(k, "") for k in parameters),
                *(trial.complexity.get(k, "") for k in complexity),
                *(trial.metrics.get(k, "") for k in metrics),
                trial.epochs,
                trial.seconds,
                _inert_cell(trial.message),
            ]
        )
    return text.getvalue().rstrip("\n")


def _rank(trial: TrialView) -> tuple[float, int]:
    error = trial.metrics.get(RANKED_BY, math.inf)
    return (math.inf if math.isnan(error) else error, trial.index)


def _columns(trials: Sequence[TrialView]) -> tuple[list[str], tuple[list[str], list[str], list[str]]]:
    names = tuple(_keys(getattr(t, part) for t in trials) for part in ("parameters", "complexity", "metrics"))
    parameters, complexity, measured = names
    metrics = [name for name in _TOLD if name in measured] or measured
    heads = [">trial", "state", *(f">{n}" for n in (*parameters, *complexity, *metrics)), ">epochs", ">time"]
    return heads, (parameters, complexity, metrics)


def _row(trial: TrialView, columns: tuple[list[str], list[str], list[str]]) -> list[str]:
    parameters, complexity, metrics = columns
    return [
        str(trial.index),
        state(trial.state),
        *(_value(trial.parameters.get(name)) for name in parameters),
        *(human(trial.complexity[name]) if name in trial.complexity else "" for name in complexity),
        *(_value(trial.metrics.get(name)) for name in metrics),
        figure(trial.epochs),
        duration(trial.seconds),
    ]


def _summary(summary: Mapping[str, Any]) -> str:
    told = ((_NAMES.get(k, k), _block(v)) for k, v in summary.items() if k not in _LEFT_OUT and v not in _NOTHING)
    return "\n".join(f"{one_line(key.replace('_', ' ')):<12} {value}" for key, value in told if value)


def _block(value: object) -> str:
    """A part of the summary on one line: `val_error 0.02, test_error 0.03, parameters (depth 8, w0 24)`."""
    if not isinstance(value, Mapping):
        return _value(value)
    told = [(name, entry) for name, entry in value.items() if name not in _LEFT_OUT and entry not in _NOTHING]
    told.sort(key=lambda item: (isinstance(item[1], Mapping), "error" not in item[0]))
    parts = (
        f"{name} ({_block(entry)})" if isinstance(entry, Mapping) else f"{name} {_value(entry)}" for name, entry in told
    )
    return one_line(", ".join(parts), 240)


def _files(files: Sequence[ResultFile]) -> str:
    """The EDF plot's path in full, where there is one, and the names of all files."""
    lines = [f"EDF plot     {one_line(file.path, 1000)}" for file in files if file.name == "edf.png"]
    listed = ", ".join(f"{one_line(file.name)} ({size(file.bytes)})" for file in files)
    folder = one_line(files[0].path.removesuffix(files[0].name), 1000)
    return "\n".join([*lines, f"files in     {folder}", f"             {listed}"])


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return figure(value) if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return ", ".join(_value(entry) for entry in value)
    text = one_line(str(value))
    return text[:_DIGITS] if _HASH.fullmatch(text) else text


def _keys(mappings: Any) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _inert_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    line = one_line(text, 500)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line
