"""The settings of a training, and what its surroundings give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import nn

from orchestrator.blueprint.batches import EpochBatches
from orchestrator.rundir.audit import AuditWriter
from orchestrator.runtime.membership.protocol import Membership
from orchestrator.runtime.membership.solo import Solo
from orchestrator.spec.data import LastBatch
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.evaluation import Evaluation
from orchestrator.training.optim import OptimizerConfig, Schedule, SGDConfig
from orchestrator.training.progress import Progress
from orchestrator.training.slices import SlicePlan
from orchestrator.training.task import Split

Parallel = Literal["ddp", "fsdp"]
Precision = Literal["fp32", "bf16", "fp16"]
NonFinite = Literal["fail", "skip", "rollback"]


@dataclass(frozen=True)
class EmaConfig:
    """An exponential moving average of parameters and buffers: e = d e + (1 - d) p, every so many steps."""

    decay: float
    every_steps: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """What to do, whatever the number of workers.

    Attributes:
        epochs: how many.
        plan: the global batch and its slices.
        schedule: the learning rate.
        optimizer: its kind and settings.
        max_steps: the training ends after so many, without an evaluation; schedules stay those of all epochs.
        pause_after: the training stops after so many epochs, with a checkpoint, as if it was asked to; None: not.
        seed: initial parameters, dropout, and (through the recipe) order and augmentation follow from it.
        exact: the gradient sum has a fixed order.
        parallel: parameters are replicated (ddp) or sharded (fsdp).
        mirror_every: of sharded parameters: steps between copies in the next worker's memory.
        precision: of forward and backward; parameters and optimizer are always fp32, and so are evaluations: what is
            measured is comparable between trainings of any precision, and with `evaluate` of a checkpoint.
        accumulate: parts that a slice is run in.
        activation_checkpointing: compute activations twice.
        compile: torch.compile.
        channels_last: memory format of the model.
        clip_norm: longest gradient; None: any.
        ema: None: none.
        non_finite: what a loss or gradient that is not finite leads to.
        evaluate_every: epochs between evaluations on the validation split; the last epoch is always evaluated.
        final_splits: evaluated once after the last epoch.
        checkpoint_every: epochs between checkpoints; there is always one at the end.
        checkpoint_seconds: also after so much time; None: not.
        last_batch: what becomes of an epoch's last global batch where it is not whole.
    """

    epochs: int
    plan: SlicePlan
    schedule: Schedule
    optimizer: OptimizerConfig = field(default_factory=SGDConfig)
    max_steps: int | None = None
    pause_after: int | None = None
    seed: int = 0
    exact: bool = True
    parallel: Parallel = "ddp"
    mirror_every: int = 1
    precision: Precision = "fp32"
    accumulate: int = 1
    activation_checkpointing: bool = False
    compile: bool = False
    channels_last: bool = True
    clip_norm: float | None = None
    ema: EmaConfig | None = None
    non_finite: NonFinite = "fail"
    evaluate_every: int = 1
    final_splits: tuple[Split, ...] = ()
    checkpoint_every: int = 1
    checkpoint_seconds: float | None = None
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
        losses: means of each of the task's losses, where it has several.
        rate: learning rate of its last step.
        samples_per_second: None where it was too short to say.
        validation: means of the recipe's measures; empty where the epoch was not evaluated.
        skipped: training samples that were corrupt and left out so far, by all workers together.
        validation_skipped: the same of this epoch's evaluation.
        skipped_steps: steps so far that were left out because of a loss that was not finite, or an fp16 overflow.
    """

    epoch: int
    samples: int
    train_loss: float
    rate: float
    samples_per_second: float | None
    validation: dict[str, float]
    losses: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    validation_skipped: int = 0
    skipped_steps: int = 0


class Tell(Protocol):
    """Told of what operators want to count: `kind` and numbers or short texts by name."""

    def __call__(self, kind: str, /, **data: object) -> None:
        """Kinds: rolled_back, step_skipped, out_of_memory, checkpoint_passed_over, checkpoint_failed, goodput."""
        ...


@dataclass(frozen=True)
class EngineContext:
    """The surroundings of a training on one worker.

    Only the leader, the first member of the newest view, is asked to speak: `progress`, `checkpointed`, `note`, `tell`
    are called on no other worker. `report` and `adopted` are called on every worker.

    Attributes:
        membership: this worker's place in the run.
        host: address at which the other workers reach this one.
        device: where it computes; None: its GPU, else its CPU.
        checkpoints: where the state is kept; None keeps none.
        stop: whether this worker was asked to stop; asked before every step.
        checkpoint_now: rises each time a checkpoint is asked for.
        leads: told at every new view whether this worker is its leader, before anything is said.
        adopted: told of the epochs that others made or that a checkpoint holds, wherever this worker takes them over.
        report: told of every epoch, on every worker; False ends the training early.
        progress: told about once a second.
        checkpointed: told of every checkpoint that is durable: its folder or URL, samples then, and how many had been
            asked for when it was begun.
        note: told what a person may want to know.
        tell: told what operators count.
        audit: where the hashes of each step go; None: nowhere.
        reached: samples that an earlier run of this training had reached: what is done again until there is redone.
    """

    membership: Membership = field(default_factory=Solo)
    host: str = "127.0.0.1"
    device: torch.device | None = None
    checkpoints: CheckpointStore | None = None
    stop: Callable[[], bool] = lambda: False
    checkpoint_now: Callable[[], int] = lambda: 0
    leads: Callable[[bool], None] = lambda leads: None
    adopted: Callable[[Sequence[EpochReport]], None] = lambda history: None
    report: Callable[[EpochReport], bool] = lambda report: True
    progress: Callable[[Progress], None] = lambda progress: None
    checkpointed: Callable[[Path | str, int, int], None] = lambda path, samples, asked: None
    note: Callable[[str], None] = lambda text: None
    tell: Tell = lambda kind, /, **data: None
    audit: AuditWriter | None = None
    reached: int = 0


@dataclass(frozen=True)
class TrainResult:
    """How a training ended on this worker.

    Attributes:
        state: `finished`; `stopped` by a request or by a report's answer: it can be resumed; `left`: a resize took this
            worker out, and the others go on.
        model: with its last parameters (the average, where there is one), whole, on the leader; elsewhere as it lies.
        leads: whether this worker led at the end.
        samples: training samples, those among them that were skipped included.
        skipped: training samples that were corrupt and left out.
        history: one report an epoch, earlier runs included.
        final: what was measured on `final_splits`.
        exact_until: samples after which the bits may differ from an undisturbed run's; None: they do not.
        fingerprint: what else the bits depend on (device, torch, threads).
        left_out: what each epoch left out or repeated, in words; empty where nothing.
    """

    state: Literal["finished", "stopped", "left"]
    model: nn.Module
    leads: bool
    samples: int
    skipped: int = 0
    history: tuple[EpochReport, ...] = field(default=())
    final: Mapping[Split, Evaluation] = field(default_factory=dict)
    exact_until: int | None = None
    fingerprint: Mapping[str, str | int] = field(default_factory=dict)
    left_out: str = ""
