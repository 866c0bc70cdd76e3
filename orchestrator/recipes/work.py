"""What each worker of a training does in its run: it trains, tells of it, and publishes the results where it leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.earlier import earlier_runs
from orchestrator.recipes.ending import Ending
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


def as_it_is(membership: Membership) -> Membership:
    """The run's membership, unchanged."""
    return membership


def train_as_worker(
    context: RunContext,
    workload: RegNetWorkload,
    speaker: Speaker,
    *,
    in_run: InRun = as_it_is,
    stop: Callable[[], bool] = lambda: False,
    again: bool = False,
) -> Ending:
    """Train as one worker of a run.

    Args:
        context: the run.
        workload: what is trained.
        speaker: where metrics go.
        in_run: what the engine sees of the run's membership.
        stop: whether something else than the run asks for a checkpoint and an end; asked once in each unit of work.
        again: other workers of this run have trained before, and are gone.
    """
    earlier = earlier_runs(context.run, own=again)
    telling = Telling(context, workload, speaker, earlier)
    telling.announce()
    engine = EngineContext(
        membership=in_run(context.membership),
        host=context.host,
        stop=lambda: stop() | (context.should_stop() is not None),
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
