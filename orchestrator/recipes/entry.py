"""What every rank of ours does around its work: opens the run, says how it ended, and leaves the marker it owes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from orchestrator.base.errors import Fenced, UsageError
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.failure import describe, failure_class, report
from orchestrator.recipes.speaker import Speaker
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.outcome import UNHEARD
from orchestrator.spec.load import thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.protocol import Discard
from orchestrator.tracking.spool import open_tracker

Work = Callable[[RunContext, RegNetWorkload, Speaker], Ending]


def run_rank(work: Work, *, writer: str | None = None) -> int:
    """Do the work of a rank; the exit code is 0 where it succeeded, was stopped, or left, `UNHEARD` without a marker.

    Args:
        work: given the run, its workload and a tracker, which is heard from worker 0 until another one leads.
        writer: name of its metrics in the job's directory; default: the worker's own.
    """
    try:
        context = RunContext.from_environment()
    except OSError as error:  # a full disk
        report(error)
        return UNHEARD
    speaker = Speaker(Discard(), speaks=False)
    try:
        workload = workload_of(context)
        tracker = open_tracker(context.job, writer or context.writer, context.token, workload.tracking)
        speaker = Speaker(tracker, speaks=context.number == 0)
        ending = work(context, workload, speaker)
    except Exception as error:  # whatever it is, the run is owed a marker
        report(error)
        ending = Ending("failed", describe(error), failure_class(error))
    with suppress(Fenced):  # the newer run speaks for the job now
        _close(context.job.path.name, speaker, ending)
    try:
        context.finish(ending.outcome, ending.message, ending.failure_class)
    except OSError as error:
        report(error)
        return UNHEARD
    return 1 if ending.outcome == "failed" else 0


def _close(key: str, speaker: Speaker, ending: Ending) -> None:
    if ending.outcome == "failed":
        speaker.let(True)  # nobody else lives to say it
        speaker.end_run(key, "failed")
    elif ending.outcome == "succeeded":
        speaker.end_run(key, "finished")
    speaker.flush()


def workload_of(context: RunContext) -> RegNetWorkload:
    """What the run trains.

    Raises:
        UsageError: it is no recipe.
    """
    workload = thaw_workload(context.job.spec.read_text(encoding="utf-8"))
    if not isinstance(workload, RegNetWorkload):
        raise UsageError(f"{context.job.spec} is not a regnet workload", hint="a command needs no recipe")
    return workload
