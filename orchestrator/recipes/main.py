"""Entry of each rank of a plain run: `python -m orchestrator.recipes.main`, started by an agent."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import asdict
from typing import Any

from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.entry import run_rank
from orchestrator.recipes.regnet import TrainingOutcome, run_training
from orchestrator.recipes.summary import summarise, write_summary
from orchestrator.recipes.telling import Telling
from orchestrator.runtime.context import RunContext
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.describe import job_tags, workload_parameters
from orchestrator.tracking.protocol import Tracker
from orchestrator.training.group import Group, join


def main() -> int:
    """Train as the environment says; the exit code is 0 where the run succeeded or was stopped."""
    return run_rank(_joined, writer="rank-0")


def _joined(context: RunContext, workload: RegNetWorkload, tracker: Tracker) -> Ending:
    with join() as group:
        return _train(context, workload, group, tracker)


def _train(context: RunContext, workload: RegNetWorkload, group: Group, tracker: Tracker) -> Ending:
    key = context.job.path.name
    first = group.rank == 0
    telling = Telling(context.events, tracker, key, workload.train.epochs)

    def announce(**data: str) -> None:
        tags = job_tags(context.job, workload, kind=workload.recipe, **data)
        tracker.start_run(key, name=workload.name, params=workload_parameters(workload), tags=tags)

    announce()
    with run_training(
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
        skipped=telling.skipped,
        opened=lambda images: announce(dataset=images.description.name, dataset_version=images.version),
    ) as outcome:
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
    skipped = summary["data"]["skipped"]["train"]
    left_out = f" ({skipped:,} corrupt ones left out)" if skipped else ""
    return f"trained on {summary['samples'] - skipped:,} samples{left_out}: " + ", ".join(found or ["no evaluation"])


if __name__ == "__main__":
    code = main()
    # A process that used gloo can abort in its exit handlers; its word is durable by now, so they are not run.
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
