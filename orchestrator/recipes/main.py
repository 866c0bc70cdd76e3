"""Entry of each worker of a plain run: `python -m orchestrator.recipes.main`, started by an agent."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any, NoReturn

from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.earlier import earlier_runs
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.entry import run_rank
from orchestrator.recipes.places import checkpoint_root
from orchestrator.recipes.speaker import Speaker
from orchestrator.recipes.summary import summarise, write_summary
from orchestrator.recipes.telling import Telling
from orchestrator.recipes.training import TrainingOutcome, run_training
from orchestrator.rundir.audit import AuditWriter, audit_folder
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.membership.protocol import Membership
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.protocol import Tracker
from orchestrator.training.config import EngineContext

InRun = Callable[[Membership], Membership]


def main(in_run: InRun = lambda membership: membership) -> int:
    """Train as the environment says; the exit code is 0 where the run succeeded, was stopped, or this worker left.

    Args:
        in_run: what the engine sees of the run's membership; a rehearsal of faults puts its own around it.
    """
    return run_rank(partial(_train, in_run))


def end(code: int) -> NoReturn:
    """End the process.

    One that used gloo can abort in its exit handlers; its word is durable by now, so they are not run.
    """
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk
            stream.flush()
    os._exit(code)


def _train(in_run: InRun, context: RunContext, workload: RegNetWorkload, speaker: Speaker) -> Ending:
    earlier = earlier_runs(context.run)
    telling = Telling(context, workload, speaker, earlier)
    telling.announce()
    engine = EngineContext(
        membership=in_run(context.membership),
        host=context.host,
        stop=lambda: context.should_stop() is not None,
        checkpoint_now=context.checkpoints_wanted,
        leads=telling.leads,
        adopted=telling.adopted,
        report=telling.epoch,
        progress=telling.progress,
        checkpointed=telling.checkpointed,
        note=telling.note,
        tell=telling.tell,
        audit=AuditWriter(audit_folder(context.run), context.writer, telling.note) if workload.elastic.audit else None,
        reached=earlier.samples,
    )
    outcome = run_training(
        workload,
        parameters_of(workload.model),
        engine,
        job=context.job,
        token=context.token,
        checkpoints=checkpoint_root(workload.train.checkpoint, context.job),
        final_splits=("test",),
        skipped=telling.skipped,
        opened=telling.opened,
    )
    return _ending(context, outcome, speaker)


def _ending(context: RunContext, outcome: TrainingOutcome, tracker: Tracker) -> Ending:
    result = outcome.result
    if result.state == "left":
        return Ending("left", f"left after {result.samples:,} samples; the others go on")
    if result.state == "stopped":
        return Ending("stopped", f"stopped after {result.samples:,} samples, with a checkpoint")
    if result.leads:
        context.check_fence()
        _publish(context, outcome, summarise(outcome), tracker)
    return Ending("succeeded", _headline(outcome))


def _publish(context: RunContext, outcome: TrainingOutcome, summary: dict[str, Any], tracker: Tracker) -> None:
    """The results as a file and in the tracker."""
    key = context.job.path.name
    tracker.artifact(key, write_summary(context.job.results, summary))
    numbers = {name: float(value) for name, value in asdict(outcome.recipe.complexity).items()}
    numbers |= {name: float(value) for name, value in summary.items() if name.startswith("test_")}
    tracker.metrics(key, outcome.result.samples, numbers)


def _headline(outcome: TrainingOutcome) -> str:
    result, metrics, test = outcome.result, outcome.metrics, outcome.final.get("test")
    known = {"val_error": metrics and metrics.val_error, "test_error": test and test.means["error"]}
    found = [f"{name} {value:.4f}" for name, value in known.items() if value is not None]
    left_out = f" ({result.skipped:,} corrupt ones left out)" if result.skipped else ""
    return f"trained on {result.samples - result.skipped:,} samples{left_out}: " + ", ".join(found or ["no evaluation"])


if __name__ == "__main__":
    end(main())
