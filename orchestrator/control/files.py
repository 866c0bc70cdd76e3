"""What jobs leave for people: logs, results, records of trials. Their content is foreign, their names are checked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.base.errors import NotFound
from orchestrator.base.files import read_json
from orchestrator.base.paths import inside
from orchestrator.control.foreign import without_nonsense
from orchestrator.rundir.layout import RunDirectory
from orchestrator.spec.messages import LogFile, ResultFile, TrialView
from orchestrator.store.records import TrialRecord

MOST_FILES = 1000
"""Result files that are listed at most."""
_NUMBERS = ("parameters", "complexity", "metrics")
"""Parts of a trial, of which each number stands for itself."""


def summary(folder: Path) -> dict[str, Any]:
    """`summary.json`; empty until the job has written it."""
    return read_json(folder / "summary.json") or {}


def result_files(folder: Path) -> list[ResultFile]:
    """Files that a job left for people, by name; links out of the folder are left out."""
    found: list[ResultFile] = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.name.startswith(".") and _is_inside(folder, path):
            name = str(path.relative_to(folder))
            found.append(ResultFile(name=name, path=str(path), bytes=path.stat().st_size))
    return found[:MOST_FILES]


def trial_files(folder: Path) -> Iterator[Path]:
    """The files that a search keeps of its trials, by name."""
    if folder.is_dir():
        yield from sorted(path for path in folder.glob("*.json") if path.stem.isdecimal())


def read_trial(job: str, path: Path, known: TrialRecord | None = None) -> TrialRecord | None:
    """The newest word of a trial's file; None where there is none, or it is not whole.

    Args:
        job: whose trial it is.
        path: the file.
        known: what it said before; it is not read again where it is still the same file.
    """
    try:
        status = os.stat(path)
        stamp = f"{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"
        if known is not None and known.stamp == stamp:
            return known
        document = read_json(path)
    except OSError:
        return None
    if document is None:
        return None
    return TrialRecord(job, int(path.stem), str(document.get("state", "")), document, stamp)


def newest_trials(job: str, folder: Path, known: Sequence[TrialRecord]) -> list[TrialRecord]:
    """All trials of a search, by number: what their files say, and where there is no such file, what is known."""
    found = {trial.number: trial for trial in known}
    try:
        read = [read_trial(job, path, found.get(int(path.stem))) for path in trial_files(folder)]
    except OSError:
        read = []
    found |= {trial.number: trial for trial in read if trial is not None}
    return [found[number] for number in sorted(found)]


def trial_view(trial: TrialRecord) -> TrialView:
    """A trial as its file describes it; where the file is no trial, as little as is known."""
    parts = {n: without_nonsense(part) for n in _NUMBERS if isinstance(part := trial.record.get(n), Mapping)}
    seed = trial.record.get("seed")  # a number that nobody reckons with
    own = {"index": trial.number, "seed": seed if isinstance(seed, int) else None}
    try:
        return TrialView.model_validate({**without_nonsense(trial.record), **parts, **own})
    except ValidationError:
        return TrialView(index=trial.number, state=trial.state, message="its record cannot be read")


def logs_of(run: RunDirectory) -> list[LogFile]:
    """The log files of a run."""
    if not run.logs.is_dir():
        return []
    paths = sorted(path for path in run.logs.iterdir() if path.is_file() and _is_inside(run.logs, path))
    return [LogFile(run=run.run, name=path.name, bytes=path.stat().st_size) for path in paths]


def log_path(job: str, candidates: Sequence[RunDirectory], name: str) -> Path:
    """The first of the runs' logs with this name.

    Raises:
        NotFound: none has it, or the name is no file name.
    """
    for run in candidates:
        if "/" in name or name in {"", ".", ".."}:
            break
        try:
            path = inside(run.logs, name)
        except ValueError:
            continue
        if path.is_file():
            return path
    raise NotFound(f"job {job} has no log {name!r}", hint=f"orchestrator logs {job} --list names them")


def _is_inside(folder: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
