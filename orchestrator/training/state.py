"""The state of a training between two steps: everything that a resumed one needs, and nothing that depends on W."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from orchestrator.base.errors import Conflict
from orchestrator.rundir.dataset import refuse_other_data
from orchestrator.training.config import EpochReport, TrainConfig
from orchestrator.training.optim import SGD

FORMAT = 1
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
        skipped: positions since the start whose samples were corrupt and left out.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    samples: int = 0
    counted: int = 0
    loss: float = 0.0
    skipped: int = 0

    def after_step(self, planned: int, counted: int, loss: float) -> Position:
        """One step further."""
        return replace(
            self,
            step=self.step + 1,
            steps=self.steps + 1,
            samples=self.samples + planned,
            counted=self.counted + counted,
            loss=self.loss + loss,
            skipped=self.skipped + planned - counted,
        )

    def next_epoch(self) -> Position:
        """At the start of the next epoch."""
        return Position(epoch=self.epoch + 1, steps=self.steps, samples=self.samples, skipped=self.skipped)


@dataclass(frozen=True)
class TrainingState:
    """Position, past reports, and whether the bits are still those of an undisturbed run."""

    position: Position = Position()
    history: tuple[EpochReport, ...] = ()
    exact_until: int | None = None


def identity_of(config: TrainConfig, task_identity: Mapping[str, str | int | float], samples: int) -> dict[str, Any]:
    """What a checkpoint belongs to: with another one the samples or the arithmetic would change."""
    return {
        **task_identity,
        "seed": config.seed,
        "batch_size": config.plan.batch_size,
        "slice_samples": config.plan.slice_samples,
        "last_batch": config.last_batch,
        "train_samples": samples,
    }


def pack(model: nn.Module, optimizer: SGD) -> dict[str, Any]:
    """The tensors of a checkpoint."""
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def unpack(tensors: Mapping[str, Any], model: nn.Module, optimizer: SGD) -> None:
    """The inverse of `pack`, into a model and an optimizer of the same make."""
    model.load_state_dict(tensors["model"])
    optimizer.load_state_dict(tensors["optimizer"])


def describe(state: TrainingState, identity: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON part of a checkpoint."""
    return {"format": FORMAT, "identity": dict(identity), "fingerprint": dict(fingerprint), "state": asdict(state)}


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
    state = meta["state"]
    position = Position(**state["position"])
    exact_until = state["exact_until"]
    if exact_until is None and meta["fingerprint"] != fingerprint:
        exact_until = position.samples
    return TrainingState(position, tuple(EpochReport(**report) for report in state["history"]), exact_until)
