"""One trial, in a process of its own: it calls a trainer, tells of each epoch, and ends when it is asked to.

Trials and who has started them (the driver, or a worker of an array) meet in a folder of the run: `stop` exists when
they are to end, `closed` when none is to begin any more, `<index>` holds a trial's samples.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from orchestrator.base.errors import NotFound
from orchestrator.base.files import write_atomic
from orchestrator.base.text import one_line
from orchestrator.onray.cluster import be_as_the_driver
from orchestrator.onray.leaving import Leaving
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.search.faults import may_retry
from orchestrator.search.records import TrialRecord, TrialRecords

End = Literal["finished", "stopped", "paused", "failed"]
REGNET_TRAINER = "orchestrator.search.trainer:train_regnet"
REGNET_EVALUATOR = "orchestrator.search.trainer:evaluate_test"
STOP_FILE, CLOSED_FILE = "stop", "closed"
_PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class TrialTask:
    """What a trial is to do; plain values, for they travel to another process.

    Attributes:
        job: the job's directory, which holds workload and record.
        token: the run's fencing token.
        index: which trial.
        trainer: import path of the trainer, `module:function`.
        meeting: the folder where driver and trials meet.
        run: the run's directory.
        retries: of the search.
        until: epochs after which it is to pause; 0: none.
    """

    job: str
    token: int
    index: int
    trainer: str
    meeting: str
    run: str
    retries: int = 0
    until: int = 0

    def config(self) -> dict[str, Any]:
        """As Tune carries it."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class TrialEnd:
    """How a training ended: its last metrics; where it `failed` so that no second attempt can mend it, why and how.

    `paused`: at the epoch that its task names.
    """

    end: End
    metrics: Mapping[str, float]
    message: str = ""
    failure_class: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What a trainer is given.

    Attributes:
        report: told of an epoch's metrics (`epoch`, `samples`, `val_error`, …) once its checkpoint is on the disk; not
            of the last epoch's, which are returned. It may never come back: the search's scheduler ends trials there.
        progress: told of samples used so far.
        stop: whether to checkpoint and end.
    """

    report: Callable[[Mapping[str, float]], None]
    progress: Callable[[int], None]
    stop: Callable[[], bool]


class TrialFailed(Exception):
    """A trainer raised; the message is `class: error` on one line, for Tune hands over texts only."""

    @classmethod
    def read(cls, message: str) -> tuple[str, str]:
        """Class and error of such a message."""
        failure_class, _, error = message.partition(": ")
        return failure_class, one_line(error, 500)


class Trainer(Protocol):
    """Trains one trial, from its checkpoint where there is one; or only measures it."""

    def __call__(self, task: TrialTask, surroundings: Surroundings) -> TrialEnd:
        """Train."""
        ...


def run_trial(config: dict[str, Any]) -> None:
    """What Tune calls. It would retry a failure whatever its class: where that is in vain, the trial just ends."""
    from ray import tune

    be_as_the_driver()
    task, began = TrialTask(**config), time.monotonic()

    def end(failure_class: str, message: str) -> None:
        about = {"end": "failed", "message": message, "failure_class": failure_class}
        tune.report(_Score(record.val_error).score({}) | {"seconds": time.monotonic() - began} | about)

    record = record_of(task)
    lost = record.failures.get("infrastructure", 0)
    if lost and not may_retry({**record.failures, "infrastructure": lost - 1}, "infrastructure", task.retries):
        end("infrastructure", f"its process was lost {lost} times")
        return
    try:
        execute(task, tune.report)
    except TrialFailed as error:
        failure_class, message = TrialFailed.read(str(error))
        if may_retry(record.failures, failure_class, task.retries):
            raise
        end(failure_class, message)


def execute(task: TrialTask, hear: Callable[[dict[str, Any]], object]) -> None:
    """Train one trial.

    Args:
        task: what to do.
        hear: told of each epoch, and of the end; it may never come back.

    Raises:
        TrialFailed: the trainer raised; or the trial has left a node that is about to be taken away.
    """
    began = time.monotonic()
    meeting, leaving = Path(task.meeting), Leaving(RunDirectory(Path(task.run)))
    told = _Score.of(task)

    def tell(metrics: Mapping[str, float], **more: Any) -> None:
        hear(dict(metrics) | told.score(metrics) | {"seconds": time.monotonic() - began} | more)

    def asked() -> bool:
        return (meeting / STOP_FILE).exists()

    def stop() -> bool:
        return asked() or leaving.here()

    if asked() or (meeting / CLOSED_FILE).exists():
        tell({}, end="stopped")
        return
    try:
        found = resolve(task.trainer)(task, Surroundings(tell, _Samples(meeting / str(task.index)), stop))
    except Exception as error:
        from orchestrator.recipes.failure import report

        report(error)  # for the log; Ray would carry it along in a form that hides what matters
        raise TrialFailed(_in_one_line(error)) from None
    if found.end == "stopped" and not asked() and leaving.here():
        raise TrialFailed("preempted: its node is about to be taken away, and it goes on elsewhere")
    tell(found.metrics, end=found.end, message=found.message, failure_class=found.failure_class)


def record_of(task: TrialTask) -> TrialRecord:
    """What is known of a trial before it goes on."""
    return TrialRecords(JobDirectory(Path(task.job)), task.token).load_one(task.index)


def _in_one_line(error: Exception) -> str:
    from orchestrator.recipes.failure import failure_class

    return one_line(f"{failure_class(error)}: {type(error).__name__}: {error}", 500)


def resolve(path: str) -> Trainer:
    """The function that `module:function` names."""
    module, _, name = path.partition(":")
    found: Trainer = getattr(importlib.import_module(module), name)
    return found


def read_samples(meeting: Path, index: int) -> int:
    """Samples that a running trial has used; 0 where it has not said."""
    try:
        return int((meeting / str(index)).read_bytes())
    except (OSError, ValueError):
        return 0


class _Score:
    """The number that Tune's schedulers compare: they want one with every report, evaluated or not.

    Args:
        known: the validation error so far, of a trial that goes on; None: it has none yet, and counts as all wrong.
    """

    def __init__(self, known: float | None = None) -> None:
        self._last = 1.0 if known is None else known

    @classmethod
    def of(cls, task: TrialTask) -> _Score:
        """That of a trial that goes on; its trainer says what is wrong with a record that is not there."""
        try:
            return cls(record_of(task).val_error)
        except NotFound:
            return cls()

    def score(self, metrics: Mapping[str, float]) -> dict[str, float]:
        self._last = metrics.get("val_error", self._last)
        return {"score": self._last, "epoch": metrics.get("epoch", 0)}


class _Samples:
    """Writes down the samples used so far, at most once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = float("-inf")

    def __call__(self, samples: int) -> None:
        if time.monotonic() - self._written >= _PROGRESS_SECONDS:
            self._written = time.monotonic()
            write_atomic(self._path, str(samples).encode(), durable=False)
