"""The ledger of a search: turns what happens to trials into records, and says so. It knows nothing of Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.recipes.skipped import SKIPPED_METRICS
from orchestrator.search.records import Curve, TrialRecord, TrialRecords
from orchestrator.search.voice import Voice

KEPT_METRICS = ("train_loss", "val_loss", "val_error", *SKIPPED_METRICS.values())
"""What a trial's record keeps of its last epoch; the tracker has all of every epoch."""
REPORTED = (
    "epoch",
    "samples",
    "train_loss",
    "val_loss",
    "val_error",
    "lr",
    "samples_per_second",
    *SKIPPED_METRICS.values(),
    "score",
    "seconds",
    "end",
    "message",
    "failure_class",
)
"""What counts of a trial's report."""
_NOT_METRICS = frozenset({"score", "seconds", "end", "message", "failure_class"})


class Progress:
    """How far a search is, of all its trials together.

    Args:
        trials: as this run found them.
        voice: says it.
        planned: samples of a whole training.
        total: trials that the search is to have; those that are not known yet among them.
    """

    def __init__(self, trials: Iterable[TrialRecord], voice: Voice, *, planned: int, total: int = 0) -> None:
        self._voice, self._planned, self._total = voice, planned, total
        self._resumed = {trial.index: trial.samples for trial in trials}

    def tell(
        self, trials: Collection[TrialRecord], live: Mapping[int, int], *, force: bool = False, message: str = ""
    ) -> None:
        """Say it.

        Args:
            trials: as they are now.
            live: samples that running trials say they have used.
            force: say it now.
            message: what it waits for.
        """
        before, unknown = self._resumed, max(0, self._total - len(trials))
        samples = sum(max(trial.samples, live.get(trial.index, 0)) - before.get(trial.index, 0) for trial in trials)
        left = sum(self._planned - trial.samples for trial in trials if trial.state in {"pending", "running"})
        left += unknown * self._planned
        used = sum(trial.samples - before.get(trial.index, 0) for trial in trials)
        over = [e for trial in trials if trial.over and (e := trial.val_error) is not None]
        errors = over or [e for trial in trials if (e := trial.val_error) is not None]
        self._voice.progress(
            done=sum(trial.state in {"succeeded", "stopped", "failed"} for trial in trials),
            total=len(trials) + unknown,
            samples=samples,
            total_samples=used + left,
            best=min(errors, default=None),
            force=force,
            message=message,
        )


class Ledger:
    """All trials of a search, as the driver knows them.

    Args:
        trials: the population, with what earlier runs found.
        records: where they are kept.
        voice: who is told.
        epochs: of a whole training.
        samples_per_epoch: training samples.
        total: trials that the search is to have, where they are not all known yet.
        curves: whether records keep what trials report of each epoch, and not of the last one only.
        now: a monotonic clock.
    """

    def __init__(
        self,
        trials: Iterable[TrialRecord],
        records: TrialRecords,
        voice: Voice,
        *,
        epochs: int,
        samples_per_epoch: int,
        total: int = 0,
        curves: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trials = {trial.index: trial for trial in trials}
        self._records, self._voice = records, voice
        self._progress = Progress(self._trials.values(), voice, planned=epochs * samples_per_epoch, total=total)
        self._earlier: dict[int, float] = {}
        self._curves = curves
        self._now, self._began = now, dict[int, float]()
        self._waits = set[int]()
        self.closed = ""
        """Why the search ended before all its trials had."""
        records.save_all(trial for trial in self._trials.values() if not trial.over)

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials, by index."""
        return tuple(self._trials.values())

    @property
    def pending(self) -> tuple[int, ...]:
        """Trials that wait."""
        return tuple(trial.index for trial in self._trials.values() if trial.state == "pending")

    @property
    def running(self) -> frozenset[int]:
        """Trials that run."""
        return frozenset(trial.index for trial in self._trials.values() if trial.state == "running")

    def add(self, record: TrialRecord) -> None:
        """A trial was suggested; it is written down before it can start."""
        self._put(record, durable=True)

    def began(self, index: int) -> None:
        """A trial was started."""
        old = self._trials[index]
        if old.state == "running":
            return
        self._waits.discard(index)
        self._earlier[index], self._began[index] = old.seconds, self._now()
        self._put(replace(old, state="running", attempts=old.attempts + 1, message="", failure_class=""))
        self._voice.trial_began(self._trials[index])

    def reported(self, index: int, result: Mapping[str, Any]) -> None:
        """A trial has completed an epoch, or its training is over."""
        record = self._measured(index, result)
        if record.epochs > self._trials[index].epochs:
            known = {name: float(value) for name, value in result.items() if name not in _NOT_METRICS}
            self._voice.epoch(index, known)
        end = result.get("end")
        if end == "finished":
            self._end(replace(record, state="succeeded"))
        elif end == "failed":
            message, failure = str(result.get("message", "")), str(result.get("failure_class", ""))
            self._end(replace(record, state="failed", message=message, failure_class=failure))
        elif end in {"stopped", "paused"}:
            if end == "paused":
                self._waits.add(index)
            self._put(replace(record, state="pending"), durable=True)
        else:
            self._put(record)

    def paused(self, index: int) -> None:
        """The scheduler lets a trial wait for others; it goes on from its checkpoint."""
        if self._trials[index].state == "running":
            self._put(replace(self._trials[index], state="pending"))

    def ended(self, index: int, *, stopping: bool, rule: str = "") -> None:
        """Tune is done with a trial; whatever still runs was ended by the scheduler, or with the whole search.

        Args:
            index: of the trial.
            stopping: whether the run was asked to stop.
            rule: that ended the search; its trials are told from those that the scheduler ended by their message.
        """
        record = self._trials[index]
        if record.state == "running" and stopping:
            self._put(replace(record, state="pending"), durable=True)
        elif record.state in {"running", "pending"} and not stopping and index not in self._waits:
            self._end(replace(record, state="stopped", message=rule))

    def failed(self, index: int, message: str, failure_class: str) -> None:
        """A trial failed for the last time."""
        record = self._failed(index, message, failure_class)
        self._end(replace(record, state="failed", failure_class=failure_class))

    def failed_once(self, index: int, message: str, failure_class: str) -> None:
        """A trial failed and is tried again."""
        record = replace(self._failed(index, message, failure_class), state="pending")
        self._put(record, durable=True)
        self._voice.trial_failed_once(record)

    def cut_short(self, index: int, message: str) -> None:
        """A trial failed while the run was asked to stop: it goes on in the job's next run."""
        failures = self._trials[index].failures
        record = replace(self._failed(index, "", "infrastructure"), state="pending", failures=failures)
        self._put(record, durable=True)
        self._voice.note(f"trial {index} goes on in the next run; while this one stopped: {message}")

    def selected(self, records: Iterable[TrialRecord]) -> None:
        """Trials have a generation behind them; it is written down before any of them goes on."""
        for record in records:
            self._put(record, durable=True)
            if (generation := record.lineage[-1]).note:
                self._voice.note(f"trial {record.index}: {generation.note}")
            if generation.source != record.index:
                self._voice.trial_copied(record, generation)

    def close(self, reason: str) -> None:
        """The search ends before all its trials have: those that wait are not run any more."""
        self.closed = reason
        for index in self.pending:
            self._end(replace(self._trials[index], state="stopped", message=reason))

    def _failed(self, index: int, message: str, failure_class: str) -> TrialRecord:
        """What an attempt took counts, whether or not it said so before it failed."""
        record = self._trials[index].failed(failure_class, message)
        if record.state != "running":
            return record
        return replace(record, seconds=max(record.seconds, self._earlier[index] + self._now() - self._began[index]))

    def tell_progress(self, live: Mapping[int, int], *, force: bool = False, message: str = "") -> None:
        """Say how far the search is.

        Args:
            live: samples that running trials say they have used.
            force: say it now.
            message: what it waits for.
        """
        self._progress.tell(self._trials.values(), live, force=force, message=message)

    def _measured(self, index: int, result: Mapping[str, Any]) -> TrialRecord:
        old = self._trials[index]
        seconds = max(old.seconds, self._earlier.get(index, 0.0) + float(result.get("seconds", 0.0)))
        if not result.get("epoch"):
            return replace(old, seconds=seconds)
        metrics = {name: float(result[name]) for name in KEPT_METRICS if _is_number(result.get(name))}
        samples, epochs = int(result.get("samples", old.samples)), float(result["epoch"])
        curve, score = old.curve, result.get("score")
        if self._curves and isinstance(score, int | float) and math.isfinite(score):
            curve = extended(curve, epochs, score)
        return replace(old, metrics=metrics, curve=curve, samples=samples, epochs=epochs, seconds=seconds)

    def _end(self, record: TrialRecord) -> None:
        self._put(record, durable=True)
        self._voice.trial_ended(record)

    def _put(self, record: TrialRecord, *, durable: bool = False) -> None:
        self._trials[record.index] = record
        self._records.save(record, durable=durable)


def extended(curve: Curve, epoch: float, score: float) -> Curve:
    """With one more report; what a trial reports again after a failure changes nothing."""
    return curve if curve and epoch <= curve[-1][0] else (*curve, (epoch, float(score)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
