"""Entry of each rank of a plain run: `python -m orchestrator.recipes.main`, started by an agent."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from orchestrator.base.errors import Fenced, UsageError
from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.failure import describe, failure_class
from orchestrator.recipes.regnet import TrainingOutcome, run_training
from orchestrator.recipes.summary import summarise, write_summary
from orchestrator.recipes.telling import Telling
from orchestrator.runtime.context import RunContext
from orchestrator.spec.load import thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.describe import job_tags, workload_parameters
from orchestrator.tracking.protocol import Discard, Tracker
from orchestrator.tracking.spool import open_tracker
from orchestrator.training.group import Group, join


def main() -> int:
    """Train as the environment says; the exit code is 0 where the run succeeded or was stopped."""
    context = RunContext.from_environment()
    tracker: Tracker = Discard()
    try:
        workload = _workload(context)
        if context.rank == 0:
            tracker = open_tracker(context.job, "rank-0", context.token, workload.tracking)
        with join() as group:
            ending = _train(context, workload, group, tracker)
    except Exception as error:  # whatever it is, the run is owed a marker
        traceback.print_exc()
        ending = Ending("failed", describe(error), failure_class(error))
    if ending.outcome != "stopped":
        with suppress(Fenced):  # the newer run speaks for the job now
            tracker.end_run(context.job.path.name, "finished" if ending.outcome == "succeeded" else "failed")
    context.finish(ending.outcome, ending.message, ending.failure_class)
    return 1 if ending.outcome == "failed" else 0


def _workload(context: RunContext) -> RegNetWorkload:
    workload = thaw_workload(context.job.spec.read_text(encoding="utf-8"))
    if not isinstance(workload, RegNetWorkload):
        raise UsageError(f"{context.job.spec} is not a regnet workload", hint="a command needs no recipe")
    return workload


def _train(context: RunContext, workload: RegNetWorkload, group: Group, tracker: Tracker) -> Ending:
    key = context.job.path.name
    first = group.rank == 0
    telling = Telling(context.events, tracker, key, workload.train.epochs)
    if first:
        tags = job_tags(context.job, workload, kind=workload.recipe)
        tracker.start_run(key, name=workload.name, params=workload_parameters(workload), tags=tags)
    outcome = run_training(
        workload,
        parameters_of(workload.model),
        group=group,
        checkpoints=context.job.checkpoints,
        job=context.job,
        token=context.token,
        stop=lambda: context.should_stop() is not None,
        report=telling.epoch if first else lambda metrics: True,
        progress=telling.progress,
        checkpointed=telling.checkpointed,
        note=telling.note,
    )
    if outcome.state == "stopped":
        tracker.flush()
        return Ending("stopped", f"stopped after {outcome.samples} samples, with a checkpoint")
    summary = summarise(outcome)
    if first:
        context.check_fence()
        _publish(context, outcome, summary, tracker)
    return Ending("succeeded", _headline(summary))


def _publish(context: RunContext, outcome: TrainingOutcome, summary: dict[str, Any], tracker: Tracker) -> None:
    """The results as a file and in the tracker."""
    key = context.job.path.name
    tracker.artifact(key, write_summary(context.job.results, summary))
    numbers = {name: float(value) for name, value in asdict(outcome.recipe.complexity).items()}
    numbers |= {name: float(value) for name, value in summary.items() if name.startswith("test_")}
    tracker.metrics(key, outcome.samples, numbers)


def _headline(summary: dict[str, Any]) -> str:
    found = [f"{name} {summary[name]:.4f}" for name in ("val_error", "test_error") if summary.get(name) is not None]
    return f"trained on {summary['samples']} samples: " + ", ".join(found or ["no evaluation"])


if __name__ == "__main__":
    code = main()
    # A process that used gloo can abort in its exit handlers; its word is durable by now, so they are not run.
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
