"""What a job has found as files: the trials as CSV, and a picture of the EDF and the Pareto fronts."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.base.errors import Conflict, UsageError
from orchestrator.base.files import write_atomic
from orchestrator.base.text import counted, one_line
from orchestrator.blueprint.outcome import measured
from orchestrator.cli.output import note
from orchestrator.cli.resultcsv import results_csv
from orchestrator.simulation.formats import PLOTS
from orchestrator.spec.messages import ResultsView


def trials_csv(results: ResultsView) -> str:
    """All trials of a search as CSV, without the last newline.

    Raises:
        UsageError: the job is no search.
    """
    if results.search is None and not results.trials:
        raise _no_search(results, "--csv")
    return results_csv(results.trials).rstrip("\n")


def write_csv(results: ResultsView, path: Path) -> None:
    """Write them: the file is there whole, or as it was before.

    Raises:
        UsageError: the job is no search, or the file cannot be written.
    """
    content = (trials_csv(results) + "\n").encode()
    try:
        if path.exists() and not path.is_file():  # a pipe, a terminal
            path.write_bytes(content)
        else:
            write_atomic(path.resolve(), content, mode=_mode_of(path))
    except OSError as error:
        raise UsageError(f"cannot write {str(path)[:200]!r}: {error.strerror or error}") from None
    note(f"wrote {path}: {counted(len(results.trials), 'trial')}")


def _mode_of(path: Path) -> int:
    """Permissions of a file that is replaced, or those that a new one would get."""
    if path.exists():
        return path.stat().st_mode & 0o7777
    os.umask(mask := os.umask(0))
    return 0o666 & ~mask


def check_plot(path: Path) -> None:
    """Refuse what could not be drawn before the server is asked.

    Raises:
        UsageError: matplotlib is not installed, or the file's name says not how to draw.
    """
    if any(importlib.util.find_spec(name) is None for name in ("matplotlib", "numpy")):
        raise UsageError(
            "--plot needs matplotlib",
            hint="pip install 'orchestrator[train]'; or look at the plots that a finished search has made itself: "
            "`orchestrator results JOB` says where they lie",
        )
    if path.suffix.lower() not in PLOTS:
        raise UsageError(f"--plot {path}: the file's name must end with {', '.join(PLOTS[:-1])} or {PLOTS[-1]}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.absolute().parent}")


def plot_results(results: ResultsView, path: Path, against: Sequence[str]) -> None:
    """Draw the EDF and a Pareto front against each of these costs.

    Raises:
        UsageError: the job is no search, or the file cannot be written.
        Conflict: no trial has ended yet.
    """
    if results.search is None:
        raise _no_search(results, "--plot")
    models = len(measured(results.trials))
    if not models:
        raise Conflict(
            f"no trial of {results.job.id} has ended with an error that could be drawn",
            hint=f"orchestrator status {results.job.id}",
        )
    from orchestrator.search.plots import Caption, plot_overview

    some = f" of {results.search.total:,}" if results.search.missing else ""
    detail = f"{counted(models, 'model')}{some}" + (f"; {results.search.caveat}" if results.search.caveat else "")
    caption = Caption(f"{one_line(results.job.name, 40)}: errors of the design space", detail)
    try:
        plot_overview(path, results.trials, against, caption)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)[:200]!r}: {error.strerror or error}") from None
    note(f"wrote {path}")


def _no_search(results: ResultsView, option: str) -> UsageError:
    job = results.job
    return UsageError(
        f"{option}: {job.id} is no search, so that it has no trials", hint=f"orchestrator results {job.id} --json"
    )
