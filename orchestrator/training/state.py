"""The state of a training between two steps: all but its tensors that a resumed one needs; nothing depends on W."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from orchestrator.base.errors import Conflict
from orchestrator.rundir.dataset import refuse_other_data
from orchestrator.training.config import EpochReport, TrainConfig
from orchestrator.training.evaluation import Evaluation, Partial
from orchestrator.training.precision import LossScale
from orchestrator.training.step import StepResult, StepState
from orchestrator.training.task import Split

FORMAT = 2
DATASET = "dataset"
"""What the identity of a task calls the version of its data."""


@dataclass(frozen=True)
class Position:
    """Where a training stands.

    Attributes:
        epoch: complete epochs, their evaluation and report included.
        step: complete steps of the current epoch.
        steps: complete steps since the start.
        samples: positions used since the start; the learning rate follows from it.
        counted: samples of the current epoch whose loss is in `loss` (corrupt ones that were skipped are not).
        loss: their summed loss.
        losses: the same of each loss by name.
        skipped: positions since the start whose samples were corrupt and left out.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    samples: int = 0
    counted: int = 0
    loss: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    skipped: int = 0

    def after_step(self, planned: int, result: StepResult) -> Self:
        """One step further."""
        return replace(
            self._moved(planned),
            counted=self.counted + result.samples,
            loss=self.loss + result.loss,
            losses={name: self.losses.get(name, 0.0) + value for name, value in result.losses.items()} or self.losses,
            skipped=self.skipped + planned - result.samples,
        )

    def after_leaving_out(self, planned: int) -> Self:
        """One step further, whose samples taught nothing."""
        return self._moved(planned)

    def next_epoch(self) -> Position:
        """At the start of the next epoch."""
        return Position(epoch=self.epoch + 1, steps=self.steps, samples=self.samples, skipped=self.skipped)

    def _moved(self, planned: int) -> Self:
        return replace(self, step=self.step + 1, steps=self.steps + 1, samples=self.samples + planned)


@dataclass(frozen=True)
class TrainingState:
    """All that a training is, besides tensors.

    Attributes:
        position: where it stands.
        history: past reports.
        exact_until: samples after which the bits may differ from an undisturbed run's; None: they do not.
        step: what one step leaves for the next.
        updates: that the optimizer has made.
        rate: of the last of them.
        skipped_steps: steps that made no update, because a loss or gradient was not finite, or of an fp16 overflow.
        skipped_in_a_row: those since the last update whose loss or gradient was not finite, overflows left aside.
        left_out: numbers of steps that a rollback went back over, and that are left out.
        measuring: the evaluation that is under way.
        final: what was measured of the final splits.
        version: rises with every change, in the same way on every worker: of two states the higher one is newer.
    """

    position: Position = Position()
    history: tuple[EpochReport, ...] = ()
    exact_until: int | None = None
    step: StepState = field(default_factory=StepState)
    updates: int = 0
    rate: float | None = None
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    left_out: tuple[int, ...] = ()
    measuring: Partial | None = None
    final: Mapping[Split, Evaluation] = field(default_factory=dict)
    version: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        measuring, step = document["measuring"], document["step"]
        return cls(
            **{
                **document,
                "position": Position(**document["position"]),
                "history": tuple(EpochReport(**report) for report in document["history"]),
                "step": StepState(**{**step, "scale": LossScale(**step["scale"])}),
                "left_out": tuple(document["left_out"]),
                "measuring": None if measuring is None else Partial.from_json(measuring),
                "final": {split: Evaluation(**found) for split, found in document["final"].items()},
            }
        )


def identity_of(
    config: TrainConfig, task_identity: Mapping[str, str | int | float], samples: int, chunk: int
) -> dict[str, Any]:
    """What a checkpoint belongs to: with another one the samples or the arithmetic would change."""
    return {
        **task_identity,
        "evaluation_chunk": chunk,
        "seed": config.seed,
        "batch_size": config.plan.batch_size,
        "slice_samples": config.plan.slice_samples,
        "last_batch": config.last_batch,
        "train_samples": samples,
    }


def describe(state: TrainingState, identity: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON part of a checkpoint."""
    return {
        "format": FORMAT,
        "identity": dict(identity),
        "fingerprint": dict(fingerprint),
        "state": state.to_json(),
    }


def read_back(meta: Mapping[str, Any], identity: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> TrainingState:
    """The inverse of `describe`; on other hardware or another torch the state is marked as exact up to here only.

    Raises:
        Conflict: the checkpoint is of another format, or belongs to something else.
    """
    if meta["format"] != FORMAT:
        raise Conflict(
            f"the checkpoint has format {meta['format']}, this version reads {FORMAT}",
            hint="resume with the version that wrote it, or submit the workload anew",
        )
    differing = sorted(
        k for k in identity.keys() | meta["identity"].keys() if identity.get(k) != meta["identity"].get(k)
    )
    refuse_other_data(meta["identity"].get(DATASET), identity.get(DATASET))
    if differing:
        changes = ", ".join(f"{k}: {meta['identity'].get(k)} then, {identity.get(k)} now" for k in differing)
        raise Conflict(
            f"the checkpoint belongs to another training ({changes})", hint="submit the workload as a new job"
        )
    state = TrainingState.from_json(meta["state"])
    if state.exact_until is None and meta["fingerprint"] != fingerprint:
        return replace(state, exact_until=state.position.samples)
    return state
