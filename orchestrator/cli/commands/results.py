"""`orchestrator results`: what a job has found."""

from __future__ import annotations

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.connect import connect
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import emit, note
from orchestrator.cli.resulttext import results_csv, results_text


@click.command()
@click.argument("job", type=JOB)
@click.option("--csv", "as_csv", is_flag=True, help="Print all trials as CSV.")
@json_option
def command(job: str, as_csv: bool, as_json: bool) -> None:
    """Show the best models, the summary and the files of JOB; also while it still runs."""
    if as_csv and as_json:
        raise UsageError("give --csv or --json, not both")
    results = connect().results(job)
    if not results.job.terminal:
        note(f"{results.job.id} is {results.job.state}: these are the results so far")
    emit(as_json, results, lambda: results_csv(results.trials) if as_csv else results_text(results))
