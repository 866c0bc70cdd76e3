"""Between Tune and the ledger: Tune's callbacks become entries, stop requests become a file that every trial sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from orchestrator.base.text import one_line
from orchestrator.onray.private import Signals
from orchestrator.search.ledger import REPORTED, Ledger
from orchestrator.search.stopping import StopRule
from orchestrator.search.trial import CLOSED_FILE, STOP_FILE, TrialFailed, read_samples


class Watcher(Callback):
    """Tune's callbacks, all called in the driver's main thread, the step ones many times a second.

    Args:
        ledger: what is told.
        meeting: the folder where driver and trials meet.
        should_stop: whether the run was asked to stop.
        signals: this process's own handlers, which Tune replaces when it starts.
        rule: what ends the search before all its trials have.
    """

    def __init__(
        self, ledger: Ledger, meeting: Path, should_stop: Callable[[], bool], signals: Signals, rule: StopRule
    ) -> None:
        self._ledger, self._meeting, self._should_stop, self._signals = ledger, meeting, should_stop, signals
        self._rule = rule
        self._restored = False
        self._last_runners: frozenset[int] | None = None
        self.stopping = False
        """Whether the run was asked to stop: all trials are to end, and go on in another run."""
        self.closed = ""
        """Why the search ends before all its trials have: those that run end after their epoch, for good."""

    @property
    def draining(self) -> bool:
        """Whether no trial is to begin any more."""
        return self._last_runners is not None

    @property
    def drained(self) -> bool:
        """Whether those that ran when all were asked to end have ended, each with its checkpoint."""
        return self._last_runners is not None and not self._last_runners & self._ledger.running

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Before each event of Tune's loop."""
        if not self._restored:
            self._restored = True
            self._signals.restore()
        if not self.stopping and self._should_stop():
            self.stopping = True
            self._last_runners = self._ledger.running
            (self._meeting / STOP_FILE).touch()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """After each event of Tune's loop."""
        self._ledger.tell_progress({index: read_samples(self._meeting, index) for index in self._ledger.running})

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial starts or goes on."""
        if not self.draining:
            self._ledger.began(_index(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported."""
        told = {name: result[name] for name in REPORTED if name in result}
        if self.stopping and told.get("end") == "failed" and told.get("failure_class") != "permanent":
            self._ledger.reported(_index(trial), told | {"end": "stopped"})
            self._ledger.cut_short(_index(trial), str(told.get("message", "")))
        else:
            self._ledger.reported(_index(trial), told)
        self._close(self._rule.met(self._ledger.trials))

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A scheduler saves a trial only to let it wait."""
        self._ledger.paused(_index(trial))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune is done with a trial."""
        self._ledger.ended(_index(trial), stopping=self.stopping, rule=self.closed)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial failed; Tune tries it again."""
        self._failed(trial, self._ledger.failed_once)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial failed for good."""
        self._failed(trial, self._ledger.failed)

    def _failed(self, trial: Trial, tell: Callable[[int, str, str], None]) -> None:
        """What an attempt took counts for the budget, whether or not a trial ever reports an epoch."""
        failure_class, message = _reason(trial)
        if self.stopping:
            self._ledger.cut_short(_index(trial), message)
            return
        tell(_index(trial), message, failure_class)
        self._close(self._rule.met(self._ledger.trials))

    def _close(self, reason: str) -> None:
        if reason and not self.draining:
            self.closed = reason
            self._last_runners = self._ledger.running
            (self._meeting / CLOSED_FILE).touch()


class StopWhenDrained(Stopper):
    """Ends Tune's loop once every trial that ran has obeyed a stop request, or has ended after a stop rule was met."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """After a stop rule was met, each trial ends where it reports."""
        return bool(self._watcher.closed)

    def stop_all(self) -> bool:
        """Whether the search is to end."""
        return self._watcher.drained


def _index(trial: Trial) -> int:
    return int(trial.config["index"])


def _reason(trial: Trial) -> tuple[str, str]:
    """Class and text of the newest error without its traceback, which is in the log."""
    text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
    _, raised, message = text.rpartition(f"{TrialFailed.__name__}: ")
    if raised:
        return TrialFailed.read(message.splitlines()[0])
    words = one_line(" ".join(text.rpartition("Failure # ")[2].splitlines()[1:]), 500)
    # Ray ends a process where its node runs out of memory.
    failure_class = "out_of_memory" if "OutOfMemoryError" in words else "infrastructure"
    return failure_class, words or "its process ended without a word"
