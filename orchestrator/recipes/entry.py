"""What every rank of ours does around its work: opens the run, says how it ended, and leaves the marker it owes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from orchestrator.base.errors import Fenced, UsageError
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.failure import describe, failure_class, report
from orchestrator.runtime.context import RunContext
from orchestrator.spec.load import thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.protocol import Discard, Tracker
from orchestrator.tracking.spool import open_tracker

Work = Callable[[RunContext, RegNetWorkload, Tracker], Ending]


def run_rank(work: Work, *, writer: str) -> int:
    """Do the work of a rank; the exit code is 0 where it succeeded or was stopped.

    Args:
        work: given the run, its workload and a tracker (of rank 0; the others' metrics are discarded).
        writer: name of rank 0's metrics in the job's directory.
    """
    context = RunContext.from_environment()
    tracker: Tracker = Discard()
    try:
        workload = _workload(context)
        if context.number == 0:
            tracker = open_tracker(context.job, writer, context.token, workload.tracking)
        ending = work(context, workload, tracker)
    except Exception as error:  # whatever it is, the run is owed a marker
        report(error)
        ending = Ending("failed", describe(error), failure_class(error))
    with suppress(Fenced):  # the newer run speaks for the job now
        if ending.outcome != "stopped":
            tracker.end_run(context.job.path.name, "finished" if ending.outcome == "succeeded" else "failed")
        tracker.flush()
    context.finish(ending.outcome, ending.message, ending.failure_class)
    return 1 if ending.outcome == "failed" else 0


def _workload(context: RunContext) -> RegNetWorkload:
    workload = thaw_workload(context.job.spec.read_text(encoding="utf-8"))
    if not isinstance(workload, RegNetWorkload):
        raise UsageError(f"{context.job.spec} is not a regnet workload", hint="a command needs no recipe")
    return workload
