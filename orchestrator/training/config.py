"""The settings of a training, and what its surroundings give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from orchestrator.blueprint.batches import EpochBatches
from orchestrator.spec.data import LastBatch
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.group import Group
from orchestrator.training.optim import Schedule, SGDConfig
from orchestrator.training.progress import Progress
from orchestrator.training.slices import SlicePlan


@dataclass(frozen=True)
class TrainConfig:
    """What to do, whatever the number of workers.

    Attributes:
        epochs: how many.
        plan: the global batch and its slices.
        schedule: the learning rate.
        sgd: the optimizer.
        seed: initial parameters, dropout, and (through the recipe) order and augmentation follow from it.
        exact: the gradient sum has a fixed order.
        evaluate_every: epochs between evaluations on the validation split; the last epoch is always evaluated.
        checkpoint_every: epochs between checkpoints; there is always one at the end.
        last_batch: what becomes of an epoch's last global batch where it is not whole.
    """

    epochs: int
    plan: SlicePlan
    schedule: Schedule
    sgd: SGDConfig = field(default_factory=SGDConfig)
    seed: int = 0
    exact: bool = True
    evaluate_every: int = 1
    checkpoint_every: int = 1
    last_batch: LastBatch = "keep"

    def batches(self, positions: int) -> EpochBatches:
        """The global batches of an epoch whose order has so many positions."""
        return EpochBatches(positions, self.plan.batch_size, self.last_batch)


@dataclass(frozen=True)
class EpochReport:
    """What is known at the end of an epoch.

    Attributes:
        epoch: from 1.
        samples: training samples so far, those among them that were skipped included.
        train_loss: mean over the epoch.
        rate: learning rate of its last step.
        samples_per_second: None where it was too short to say.
        validation: means of the recipe's measures; empty where the epoch was not evaluated.
        skipped: training samples that were corrupt and left out so far, by all workers together.
        validation_skipped: the same of this epoch's evaluation.
    """

    epoch: int
    samples: int
    train_loss: float
    rate: float
    samples_per_second: float | None
    validation: dict[str, float]
    skipped: int = 0
    validation_skipped: int = 0


@dataclass(frozen=True)
class EngineContext:
    """The surroundings of a training on one worker.

    Attributes:
        group: the workers.
        checkpoints: where the state is kept; None keeps none.
        stop: whether this worker was asked to stop; asked before every step.
        report: told of every epoch, on every worker; False ends the training early.
        progress: told about once a second.
        checkpointed: told of every checkpoint on worker 0: its folder, and samples so far.
        note: told what a person may want to know.
    """

    group: Group
    checkpoints: CheckpointStore | None = None
    stop: Callable[[], bool] = lambda: False
    report: Callable[[EpochReport], bool] = lambda report: True
    progress: Callable[[Progress], None] = lambda progress: None
    checkpointed: Callable[[Path, int], None] = lambda path, samples: None
    note: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        state: `finished`, or `stopped` by a request or by a report's answer; a stopped one can be resumed.
        model: with its last parameters.
        samples: training samples, those among them that were skipped included.
        skipped: training samples that were corrupt and left out.
        history: one report an epoch, earlier runs included.
        exact_until: samples after which the bits may differ from an undisturbed run's; None: they do not.
        fingerprint: what else the bits depend on (device, torch, threads).
        left_out: what each epoch left out or repeated, in words; empty where nothing.
    """

    state: Literal["finished", "stopped"]
    model: nn.Module
    samples: int
    skipped: int = 0
    history: tuple[EpochReport, ...] = field(default=())
    exact_until: int | None = None
    fingerprint: Mapping[str, str | int] = field(default_factory=dict)
    left_out: str = ""
