"""What a search starts from, and how it ends: the same for a driver of Ray's and for a worker of an array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orchestrator.base.errors import DataError, UsageError
from orchestrator.blueprint.outcome import choose_best
from orchestrator.blueprint.workload import cost_of, known_population
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.images import ImageSplits
from orchestrator.rundir.dataset import hold_to_dataset
from orchestrator.runtime.context import RunContext
from orchestrator.search.finish import Findings, Origin, publish, publish_unfinished
from orchestrator.search.ingroup import GroupProcess
from orchestrator.search.population import fresh_trials
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.tpe import TpeSampler
from orchestrator.search.trial import REGNET_EVALUATOR, TrialFailed, TrialTask
from orchestrator.search.trialprocess import TrialProcess
from orchestrator.search.voice import Voice
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.describe import job_tags, workload_parameters
from orchestrator.tracking.protocol import Tracker

_TEST_NUMBERS = frozenset({"loss", "error", "skipped"})
_TRIAL_WITHOUT = frozenset({"search", "resources", "retry", "depends_on", "priority", "seed"})


@dataclass(frozen=True)
class Setting:
    """A search, as one process of a run sees it.

    Attributes:
        context: the run.
        workload: with a search.
        tracker: where metrics go.
        origin: of the population and the data.
        records: where trials are kept.
        fresh: what is known of the population before anything starts.
        epoch: training samples of one.
        sampler: suggests the rest of the population; None: there is none.
    """

    context: RunContext
    workload: RegNetWorkload
    tracker: Tracker
    origin: Origin
    records: TrialRecords
    fresh: tuple[TrialRecord, ...]
    epoch: int
    sampler: TpeSampler | None = None

    @classmethod
    def of(cls, context: RunContext, workload: RegNetWorkload, tracker: Tracker) -> Setting:
        """Open the data and sample the population.

        Raises:
            UsageError: the workload is no search.
            DataError: nothing to compare models on.
        """
        if workload.search is None:
            raise UsageError(f"{context.job.spec} holds no search", hint="only a recipe with a search section has one")
        # None is decoded here.
        images = ImageSplits.open(workload.data.model_copy(update={"decode": "cpu"}), workload.seed)
        hold_to_dataset(context.job, context.token, images.version)
        about = images.description
        if not images.sizes.get("validation"):
            raise DataError(
                f"{about.name} has no validation split", hint="models are compared on it: add one to its card"
            )
        population = known_population(workload, in_channels=about.channels, num_classes=len(about.classes))
        batches = cost_of(workload, images.positions("train")).batches
        origin = Origin(
            population.draws, population.rejected_by, about.name, images.version, images.sizes, batches.note
        )
        records = TrialRecords(context.job, context.token)
        fresh = fresh_trials(population, workload, context.job)
        tpe = workload.search.sampler == "tpe"
        known = (about.channels, len(about.classes), population.draws)
        sampler = TpeSampler(workload, context.job, *known) if tpe else None
        return cls(context, workload, tracker, origin, records, fresh, batches.samples, sampler)

    def announce(self) -> None:
        """Open the search's own run of the tracker."""
        parameters = workload_parameters(self.workload)
        self.tracker.start_run(self._key, name=self.workload.name, params=parameters, tags=self._tags)

    def voice(self) -> Voice:
        """Says how its trials go."""
        own = workload_parameters(self.workload, without=_TRIAL_WITHOUT)
        return Voice(self.context.events, self.tracker, self._key, params=own, tags=self._tags)

    def finish(self, trials: Sequence[TrialRecord], process: TrialProcess | GroupProcess, why: str = "") -> Ending:
        """Evaluate the best trial, publish what was found, and say how the search ended.

        Args:
            trials: all of them.
            process: where the best one is evaluated, which takes torch and the model.
            why: the search ended before all its trials had; empty where it did not.

        Raises:
            Fenced: a newer run owns the job.
        """
        best = choose_best(trials)
        if best is None:
            return self._unfinished(trials, why)
        self.context.check_fence()
        try:
            evaluate = partial(self._evaluate, process)
            found = publish(self.context.job, self.workload, trials, best, self._origin(trials), evaluate)
        except TrialFailed as error:
            failure, message = TrialFailed.read(str(error))
            return Ending("failed", f"trial {best.index}, the best, could not be evaluated: {message}", failure)
        self._track(found, sum(trial.samples for trial in trials))
        if 2 * sum(trial.state == "failed" for trial in trials) > len(trials):
            return Ending("failed", f"most trials failed: {_headline(found)}", usual_failure(trials))
        return Ending("succeeded", _headline(found) + (f"; it ended early: {why}" if why else ""))

    def _unfinished(self, trials: Sequence[TrialRecord], why: str) -> Ending:
        """No trial has finished. What a rule has ended would end at once if it were run again."""
        failed = [trial for trial in trials if trial.state == "failed"]
        leader = min(
            ((error, t) for t in trials if t.state != "failed" and (error := t.val_error) is not None),
            key=lambda found: (found[0], found[1].index),
            default=None,
        )
        if not why or leader is None or 2 * len(failed) > len(trials):
            reasons = [*sorted({trial.message for trial in failed if trial.message})[:1], "see the log"]
            words = f"none of {len(trials)} trials finished: {why or reasons[0]}"
            if why and failed:
                words += f"; {len(failed)} failed: {reasons[0]}"
            return Ending("failed", words, "permanent" if why else usual_failure(trials))
        self.context.check_fence()
        for path in publish_unfinished(self.context.job, self.workload, trials, self._origin(trials)):
            self.tracker.artifact(self._key, path, "")
        error, trial = leader
        after = f"after {trial.epochs:g} of {self.workload.train.epochs} epochs"
        lowest = f"the lowest val error is {error:.4f}, of trial {trial.index} {after}"
        return Ending("succeeded", f"none of {len(trials)} trials finished: {why}; {lowest}")

    def _origin(self, trials: Sequence[TrialRecord]) -> Origin:
        """With what was dropped before each trial that was suggested."""
        suggested = trials[len(self.fresh) :]
        rejected = sum((Counter(trial.rejected) for trial in suggested), Counter(self.origin.rejected))
        draws = self.origin.draws + len(suggested) + sum(sum(trial.rejected.values()) for trial in suggested)
        return replace(self.origin, draws=draws, rejected=rejected)

    def stopped(self, trials: Sequence[TrialRecord]) -> Ending:
        """The run was asked to stop before all trials were over."""
        over = sum(trial.over for trial in trials)
        return Ending("stopped", f"stopped with {over} of {len(trials)} trials finished")

    def _evaluate(self, process: TrialProcess | GroupProcess, best: TrialRecord) -> Mapping[str, float]:
        context, told = self.context, dict[str, Any]()
        meeting = str(context.run.path / "evaluation")
        task = TrialTask(
            str(context.job.path), context.token, best.index, REGNET_EVALUATOR, meeting, str(context.run.path)
        )
        process.run(task, told.update, lambda: None)
        return {name: value for name, value in told.items() if name in _TEST_NUMBERS}

    def _track(self, found: Findings, samples: int) -> None:
        numbers = {name: value for name, value in found.summary["best"].items() if name.startswith(("val_", "test_"))}
        known = {f"best_{name}": value for name, value in numbers.items() if value is not None}
        self.tracker.metrics(self._key, samples, known)
        for path in found.files:
            self.tracker.artifact(self._key, path, "plots" if path.suffix == ".png" else "")
        self.tracker.artifact(self._key, self.context.job.spec)

    @property
    def _key(self) -> str:
        return self.context.job.path.name

    @property
    def _tags(self) -> dict[str, str]:
        about = {"dataset": self.origin.dataset, "dataset_version": self.origin.version}
        return dict(job_tags(self.context.job, self.workload, **about))


def usual_failure(trials: Sequence[TrialRecord]) -> str:
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
