"""Records of trials: one JSON file each, kept by us, so that no restart runs a finished trial again (decisions 19)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from orchestrator.base.errors import NotFound
from orchestrator.base.files import read_json, write_json
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory

TrialState = Literal["pending", "running", "succeeded", "stopped", "failed"]
"""The names of `lifecycle.states.TrialState`; `stopped`: ended early by the search's scheduler or a stop rule."""
Curve = tuple[tuple[float, float], ...]
"""Epochs and the scores that a scheduler compares, by rising epoch."""


@dataclass(frozen=True)
class Generation:
    """A trial at the end of a generation of population based training.

    Attributes:
        epoch: at which it ended.
        error: the trial's validation error then; None: it failed, or had none.
        source: the trial whose state it went on with; its own index where it copied none.
        parameters: that it was trained with until then.
        note: which trials it should have copied, and why that could not be; empty: nothing of the kind.
    """

    epoch: int
    error: float | None
    source: int
    parameters: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class TrialRecord:
    """One member of the population, and what became of it.

    Attributes:
        index: its place in the population.
        state: where it stands.
        parameters: what was sampled; of population based training those that it trains with now.
        complexity: flops, params, activations.
        seed: of its training.
        metrics: of its last epoch.
        curve: epochs and scores that it has reported, where the search's scheduler ends trials by them.
        epochs: complete epochs.
        samples: training samples used.
        seconds: spent on it, all attempts together.
        attempts: how often it was started.
        failures: attempts that failed in this run of the job, by class.
        rejected: suggestions that were dropped before this one, by reason; of a trial that was suggested.
        message: why it failed, or which rule ended the search before it.
        failure_class: of that failure, by the names of `lifecycle.failures`.
        checkpoint: where its checkpoints lie; a folder in the job's directory is relative to that.
        lineage: generations that it has behind it, of population based training.
    """

    index: int
    state: TrialState
    parameters: Mapping[str, Any]
    complexity: Mapping[str, int]
    seed: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Curve = ()
    epochs: float = 0
    samples: int = 0
    seconds: float = 0
    attempts: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    message: str = ""
    failure_class: str = ""
    checkpoint: str = ""
    lineage: tuple[Generation, ...] = ()

    @property
    def over(self) -> bool:
        """Whether it never runs again; one that failed gets another chance in the job's next run."""
        return self.state in {"succeeded", "stopped"}

    @property
    def val_error(self) -> float | None:
        """Validation error after its last epoch."""
        return self.metrics.get("val_error")

    def failed(self, failure_class: str, message: str) -> TrialRecord:
        """The same after an attempt that failed; whether there will be another is not decided here."""
        count = self.failures.get(failure_class, 0) + 1
        return replace(self, message=message, failures={**self.failures, failure_class: count})

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes it this trial and no other."""
        return (self.index, self.seed, tuple(sorted(self.born_with.items())))

    @property
    def born_with(self) -> Mapping[str, Any]:
        """The parameters that it began with."""
        return self.lineage[0].parameters if self.lineage else self.parameters


class TrialRecords:
    """The records of a job.

    Args:
        job: its directory.
        token: the run's fencing token.
    """

    def __init__(self, job: JobDirectory, token: int) -> None:
        self.job = job
        self.token = token

    def load(self) -> dict[int, TrialRecord]:
        """All records, by index; a damaged one counts as absent."""
        found = (_read(path) for path in sorted(self.job.trials.glob("*.json")))
        return {record.index: record for record in found if record is not None}

    def load_one(self, index: int) -> TrialRecord:
        """One record.

        Raises:
            NotFound: it is absent or damaged.
        """
        path = trial_file(self.job, index)
        record = _read(path)
        if record is None:
            raise NotFound(
                f"{path} is missing or damaged", hint="the search's driver writes it before the trial starts"
            )
        return record

    def save(self, record: TrialRecord, *, durable: bool = True) -> None:
        """Replace a record.

        Args:
            record: the new one.
            durable: flushed to the disk when this returns; what can be measured again need not be.

        Raises:
            Fenced: a newer run owns the job.
        """
        self.save_all([record], durable=durable)

    def save_all(self, records: Iterable[TrialRecord], *, durable: bool = False) -> None:
        """Replace many records after one look at the fence.

        Raises:
            Fenced: a newer run owns the job.
        """
        check_fence(self.job, self.token)
        self.job.trials.mkdir(parents=True, exist_ok=True)
        for record in records:
            write_json(trial_file(self.job, record.index), asdict(record), durable=durable)


def trial_file(job: JobDirectory, index: int) -> Path:
    """Where a trial's record lies."""
    return job.trials / f"{index:05d}.json"


def _read(path: Path) -> TrialRecord | None:
    document = read_json(path)
    known = {each.name for each in fields(TrialRecord)}
    try:
        if document is None:
            return None
        lineage = tuple(Generation(**each) for each in document.get("lineage", ()))
        curve = tuple((float(epoch), float(score)) for epoch, score in document.get("curve", ()))
        return TrialRecord(**{k: v for k, v in document.items() if k in known} | {"lineage": lineage, "curve": curve})
    except (TypeError, ValueError):
        return None
