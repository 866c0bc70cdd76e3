"""Entry of a search's driver: `python -m orchestrator.search.main`, rank 0 of an ordinary run, started by an agent."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

from orchestrator.base.errors import DataError, UsageError
from orchestrator.blueprint.workload import cost_of, population_of
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.entry import run_rank
from orchestrator.recipes.images import ImageSplits
from orchestrator.rundir.dataset import hold_to_dataset
from orchestrator.runtime.context import RunContext
from orchestrator.search.driver import SearchRun, run_trials
from orchestrator.search.finish import Findings, Origin, choose_best, publish
from orchestrator.search.ledger import Ledger
from orchestrator.search.population import fresh_trials, resumed_trials
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.voice import Voice
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.describe import job_tags, workload_parameters
from orchestrator.tracking.protocol import Tracker

_TRIAL_WITHOUT = frozenset({"search", "resources", "retry", "depends_on", "priority", "seed"})


def main() -> int:
    """Search as the environment says; the exit code is 0 where the run succeeded or was stopped."""
    return run_rank(_search, writer="search")


def _search(context: RunContext, workload: RegNetWorkload, tracker: Tracker) -> Ending:
    if workload.search is None:
        raise UsageError(f"{context.job.spec} holds no search", hint="only a recipe with a search section has one")
    images = ImageSplits.open(workload.data.model_copy(update={"decode": "cpu"}), workload.seed)  # none is decoded here
    hold_to_dataset(context.job, context.token, images.version)
    about = images.description
    if not images.sizes.get("validation"):
        raise DataError(f"{about.name} has no validation split", hint="models are compared on it: add one to its card")
    population = population_of(workload, in_channels=about.channels, num_classes=len(about.classes))
    batches = cost_of(workload, images.positions("train")).batches
    origin = Origin(population.draws, population.rejected_by, about.name, images.version, images.sizes, batches.note)
    records = TrialRecords(context.job, context.token)
    trials = resumed_trials(fresh_trials(population, workload, context.job), records.load())
    ledger = _ledger(context, workload, tracker, origin, records, trials, batches.samples)
    run = SearchRun(context.job, context.run, context.token, context.slots, partial(_give_up, context))
    if not run_trials(run, workload, ledger, lambda: context.should_stop() is not None):
        over = sum(trial.over for trial in ledger.trials)
        return Ending("stopped", f"stopped with {over} of {len(ledger.trials)} trials finished")
    return _finish(context, workload, tracker, ledger, origin)


def _ledger(
    context: RunContext,
    workload: RegNetWorkload,
    tracker: Tracker,
    origin: Origin,
    records: TrialRecords,
    trials: tuple[TrialRecord, ...],
    epoch: int,
) -> Ledger:
    job = context.job.path.name
    tags = job_tags(context.job, workload, dataset=origin.dataset, dataset_version=origin.version)
    tracker.start_run(job, name=workload.name, params=workload_parameters(workload), tags=tags)
    own = workload_parameters(workload, without=_TRIAL_WITHOUT)
    return Ledger(
        trials,
        records,
        Voice(context.events, tracker, job, params=own, tags=tags),
        epochs=workload.train.epochs,
        samples_per_epoch=epoch,
    )


def _give_up(context: RunContext, daemon: str) -> None:
    """End at once: trials that are over are kept, and the job's next run goes on with the others."""
    context.finish("failed", f"the search's Ray was lost: its {daemon} died", "infrastructure")
    os._exit(1)


def _finish(context: RunContext, workload: RegNetWorkload, tracker: Tracker, ledger: Ledger, origin: Origin) -> Ending:
    best = choose_best(ledger.trials)
    if best is None:
        reasons = sorted({trial.message for trial in ledger.trials if trial.message}) or ["see the log"]
        return Ending(
            "failed", f"none of {len(ledger.trials)} trials finished: {reasons[0]}", _usual_failure(ledger.trials)
        )
    from orchestrator.search.trainer import evaluate_test

    context.check_fence()
    found = publish(
        context.job, workload, ledger.trials, best, origin, partial(evaluate_test, context.job, context.events)
    )
    key, samples = context.job.path.name, sum(trial.samples for trial in ledger.trials)
    numbers = {name: value for name, value in found.summary["best"].items() if name.startswith(("val_", "test_"))}
    tracker.metrics(key, samples, {f"best_{name}": value for name, value in numbers.items() if value is not None})
    for path in found.files:
        tracker.artifact(key, path, "plots" if path.suffix == ".png" else "")
    tracker.artifact(key, context.job.spec)
    if 2 * sum(trial.state == "failed" for trial in ledger.trials) > len(ledger.trials):
        return Ending("failed", f"most trials failed: {_headline(found)}", _usual_failure(ledger.trials))
    return Ending("succeeded", _headline(found))


def _usual_failure(trials: Sequence[TrialRecord]) -> str:
    """The class that most of the failed trials failed with: its budget is charged for the search."""
    classes = Counter(trial.failure_class for trial in trials if trial.state == "failed" and trial.failure_class)
    return classes.most_common(1)[0][0] if classes else "application"


def _headline(found: Findings) -> str:
    trials, best = found.summary["trials"], found.summary["best"]
    words = {"stopped": "ended early", "failed": "failed"}
    ended = [f"{trials[state]} {word}" for state, word in words.items() if trials.get(state)]
    test = f", test error {best['test_error']:.4f}" if "test_error" in best else ""
    return (
        f"{trials.get('succeeded', 0)} of {trials['total']} trials finished"
        + "".join(f", {text}" for text in ended)
        + f"; best is trial {best['index']}: val error {best['val_error']:.4f}{test}"
    )


if __name__ == "__main__":
    sys.exit(main())
