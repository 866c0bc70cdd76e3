"""One request for each of several jobs: those that fail keep none of the others from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.base.errors import OrchestratorError
from orchestrator.cli.output import CommandFailed, emit, state
from orchestrator.spec.messages import JobView


def each(jobs: Sequence[str], ask: Callable[[str], JobView], *, as_json: bool) -> None:
    """Ask for each job, and print what became of it.

    Raises:
        CommandFailed: some failed; what worked is in its data.
        OrchestratorError: the only one failed.
    """
    done: list[JobView] = []
    failures: list[OrchestratorError] = []
    for job in jobs:
        try:
            done.append(ask(job))
        except OrchestratorError as error:
            failures.append(error)
    if failures and len(jobs) == 1:
        raise failures[0]
    if not failures or not as_json:
        emit(as_json, done, lambda: "\n".join(f"{job.id} {state(job.state)}" for job in done))
    if failures:
        first = failures[0]
        message = "\n".join(error.message for error in failures)
        raise CommandFailed(message, hint=first.hint, data=done, code=first.code, exit_code=first.exit_code)
