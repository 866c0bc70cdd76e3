"""What a job has found, as text: of a search its trials, EDF and fronts; the summary, and a list of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.base.text import counted, one_line
from orchestrator.cli.human import duration, size
from orchestrator.cli.jobtext import progress_text
from orchestrator.cli.output import state
from orchestrator.cli.searchtext import AGAINST, search_text
from orchestrator.cli.trialtable import best_trials, value_text
from orchestrator.spec.messages import JobView, ResultFile, ResultsView

_LEFT_OUT = frozenset({"seed", "checkpoint", "complexity", "kind", "likely_best"})
"""What only `--json` holds: it is long, or stands in the table already."""

_NAMES = {"parameters_sha256": "model sha256", "exact_until": "exact until", "fingerprint": "computed on"}
_NOTHING: tuple[object, ...] = (None, "", {}, [])
_OF_A_SEARCH = ("best", "trials", "edf", "pareto")
"""What the parts on a search tell already."""


def results_text(results: ResultsView, against: Sequence[str] = AGAINST) -> str:
    """The whole answer of `orchestrator results`.

    Args:
        results: of any job.
        against: of a search, the costs whose Pareto fronts are shown.
    """
    job = results.job
    parts = [f"{job.id}  {one_line(job.name)}  {state(job.state)}"]
    if job.terminal and job.state != "succeeded" and job.reason:
        parts[0] += f"\n{one_line(job.reason, 1000)}"
    if job.kind == "command" and job.runs:
        parts.append(_of_a_program(job))
    if results.search is not None:
        parts += search_text(results, results.search, against)
    elif trials := best_trials(results.trials):
        parts.append(trials)
    elif not job.terminal and (progress := progress_text(job.progress)):
        parts.append(f"so far       {progress}")
    known = () if results.search is None else _OF_A_SEARCH
    if summary := _summary({name: part for name, part in results.summary.items() if name not in known}):
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


def _summary(summary: Mapping[str, Any]) -> str:
    told = ((_NAMES.get(k, k), _block(v)) for k, v in summary.items() if k not in _LEFT_OUT and v not in _NOTHING)
    return "\n".join(f"{one_line(key.replace('_', ' ')):<12} {value}" for key, value in told if value)


def _block(value: object) -> str:
    """A part of the summary on one line: `val_error 0.02, test_error 0.03, parameters (depth 8, w0 24)`."""
    if not isinstance(value, Mapping):
        return value_text(value)
    told = [(name, entry) for name, entry in value.items() if name not in _LEFT_OUT and entry not in _NOTHING]
    told.sort(key=lambda item: (isinstance(item[1], Mapping), "error" not in item[0]))
    parts = (
        f"{name} ({_block(entry)})" if isinstance(entry, Mapping) else f"{name} {value_text(entry)}"
        for name, entry in told
    )
    return one_line(", ".join(parts), 240)


def _files(files: Sequence[ResultFile]) -> str:
    """The EDF plot's path in full, where there is one, and the names of all files."""
    lines = [f"EDF plot     {one_line(file.path, 1000)}" for file in files if file.name == "edf.png"]
    listed = ", ".join(f"{one_line(file.name)} ({size(file.bytes)})" for file in files)
    folder = one_line(files[0].path.removesuffix(files[0].name), 1000)
    return "\n".join([*lines, f"files in     {folder}", f"             {listed}"])
