"""`orchestrator results`: what a job has found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.options import JOB, json_option

_COSTS = ("flops", "activations", "params")
_OUTPUT = "-"
_NAMED = "\0"
"""Stands for a file whose name follows from the job's."""


@click.command()
@click.argument("job", type=JOB, required=False)
@click.option(
    "--csv",
    "as_csv",
    is_flag=False,
    flag_value=_OUTPUT,
    metavar="[FILE]",
    help="All trials as CSV, printed or written.",
)
@click.option(
    "--plot",
    is_flag=False,
    flag_value=_NAMED,
    metavar="[FILE]",
    help="Draw EDF and Pareto fronts: out.png, .svg or .pdf; without a name, JOB.png.",
)
@click.option(
    "--against",
    multiple=True,
    type=click.Choice(_COSTS),
    help="Show the Pareto front of error against this cost. [default: flops and activations]",
)
@json_option
def command(job: str | None, as_csv: str | None, plot: str | None, against: tuple[str, ...], as_json: bool) -> None:
    """Show what JOB has found; also while it still runs.

    Of a search: the best trials, the error EDF, and the Pareto fronts of error against what a model costs.
    """
    job, as_csv, plot = _sorted_out(job, as_csv, plot)
    if as_csv == _OUTPUT and as_json:
        raise UsageError("give --csv or --json, not both", hint="--csv FILE writes a file beside what is printed")
    from orchestrator.cli.connect import connect
    from orchestrator.cli.output import emit, note
    from orchestrator.cli.resultfiles import check_plot, plot_results, trials_csv, write_csv
    from orchestrator.cli.resulttext import results_text
    from orchestrator.cli.searchtext import AGAINST

    picture = None if plot is None else Path(f"{job}.png" if plot == _NAMED else plot)
    if picture is not None:
        check_plot(picture)
    results = connect().results(job)
    if not results.job.terminal:
        note(f"{results.job.id} is {results.job.state}: these are the results so far")
    if as_csv is not None and as_csv != _OUTPUT:
        write_csv(results, Path(as_csv))
    if picture is not None:
        plot_results(results, picture, against or AGAINST)
    emit(
        as_json,
        results,
        lambda: trials_csv(results) if as_csv == _OUTPUT else results_text(results, against or AGAINST),
    )


def _sorted_out(job: str | None, *options: str | None) -> tuple[Any, ...]:
    """The job and the options, where the job stands behind an option that needs no value, and was taken for its value.

    Raises:
        UsageError: no job is named, or two options have a value that may be it.
    """
    if job is not None:
        return (job, *options)
    taken = [number for number, given in enumerate(options) if given not in {None, _OUTPUT, _NAMED}]
    if len(taken) > 1:
        first, second = (options[number] for number in taken)
        raise UsageError(
            f"which is the job, and which a file: {first!r} or {second!r}?",
            hint="name the job first: orchestrator results JOB --csv FILE --plot FILE",
        )
    if taken:
        rest = list(options)
        rest[taken[0]] = (_OUTPUT, _NAMED)[taken[0]]
        return (options[taken[0]], *rest)
    raise UsageError(
        "name a job: its identifier, the beginning of it, or its name", hint="orchestrator jobs lists them"
    )
