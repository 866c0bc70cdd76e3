"""`orchestrator priority`: move a job forwards or backwards in the queue."""

from __future__ import annotations

import click

from orchestrator.base.errors import UsageError
from orchestrator.base.text import one_line
from orchestrator.cli.connect import connect
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import emit, note, state


def _number(context: click.Context, parameter: click.Parameter, text: str) -> int:
    from orchestrator.spec.base import HIGHEST_PRIORITY as HIGHEST
    from orchestrator.spec.base import LOWEST_PRIORITY as LOWEST

    digits = text.removeprefix("-").removeprefix("+")
    if digits.isascii() and digits.isdigit() and len(digits) <= 4 and LOWEST <= int(text) <= HIGHEST:
        return int(text)
    raise UsageError(
        f"{one_line(text, 40)!r} is no priority", hint=f"a whole number from {LOWEST} to {HIGHEST}; higher goes first"
    )


@click.command(context_settings={"ignore_unknown_options": True})  # -5 is a priority and no option
@click.argument("job", type=JOB)
@click.argument("priority", callback=_number)
@json_option
def command(job: str, priority: int, as_json: bool) -> None:
    """Give JOB another PRIORITY, from -1000 to 1000: higher ones go first.

    Anybody may change a job of their own, up to what the cluster allows (`limits.priority`, 0 unless it says
    otherwise); above that it takes the role operator.
    """
    view = connect().set_priority(job, priority)
    emit(as_json, view, lambda: f"{view.id} {state(view.state)}, priority {view.priority}")
    if view.note:
        note(f"note: {view.note}")
