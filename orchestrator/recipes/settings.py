"""From the sections of a workload to the settings of the engine; all recipes go this way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.spec.data import LastBatch
from orchestrator.spec.optim import Optim
from orchestrator.spec.training import Checkpointing, Elastic, Train
from orchestrator.training.checkpoint.keep import KeepPolicy
from orchestrator.training.checkpoint.store import CheckpointStore
from orchestrator.training.config import EmaConfig, TrainConfig
from orchestrator.training.optim import AdamWConfig, LARSConfig, OptimizerConfig, Schedule, SGDConfig
from orchestrator.training.slices import SlicePlan
from orchestrator.training.task import Split


def optimizer_config(optim: Optim) -> OptimizerConfig:
    """The optimizer that a workload asks for."""
    if optim.optimizer == "sgd":
        return SGDConfig(
            momentum=optim.momentum,
            nesterov=optim.nesterov,
            weight_decay=optim.weight_decay,
            undecayed=optim.undecayed,
            velocity=optim.velocity or "plain",
            layer_decay=optim.layer_decay,
        )
    if optim.optimizer == "lars":
        return LARSConfig(
            momentum=optim.momentum,
            weight_decay=optim.weight_decay,
            trust=optim.trust,
            adapt_undecayed=optim.adapt_undecayed,
            undecayed=optim.undecayed,
            momentum_correction=optim.velocity == "corrected",
            layer_decay=optim.layer_decay,
        )
    first, second = optim.betas
    return AdamWConfig(
        betas=(first, second),
        epsilon=optim.epsilon,
        weight_decay=optim.weight_decay,
        undecayed=optim.undecayed,
        layer_decay=optim.layer_decay,
    )


def train_config(
    train: Train,
    optim: Optim,
    elastic: Elastic,
    schedule: Schedule,
    *,
    seed: int,
    last_batch: LastBatch,
    final_splits: tuple[Split, ...] = (),
) -> TrainConfig:
    """What the engine is to do.

    Args:
        train: the workload's section.
        optim: the same.
        elastic: the same.
        schedule: the learning rate.
        seed: of the training.
        last_batch: the workload's `data.last_batch`.
        final_splits: evaluated once, with the model of the last epoch.
    """
    return TrainConfig(
        epochs=train.epochs,
        max_steps=train.max_steps,
        plan=SlicePlan(train.batch_size, train.slice_samples),
        schedule=schedule,
        optimizer=optimizer_config(optim),
        seed=seed,
        exact=elastic.exact,
        parallel=train.parallel,
        mirror_every=elastic.mirror_every,
        precision=train.precision,
        accumulate=train.accumulate,
        activation_checkpointing=train.activation_checkpointing,
        compile=train.compile,
        channels_last=train.channels_last,
        clip_norm=train.clip_norm,
        ema=None if train.ema is None else EmaConfig(train.ema.decay, train.ema.every_steps),
        non_finite=train.non_finite,
        evaluate_every=train.evaluate_every_epochs,
        final_splits=final_splits,
        checkpoint_every=train.checkpoint.every_epochs,
        checkpoint_seconds=train.checkpoint.every,
        last_batch=last_batch,
    )


def checkpoint_store(
    settings: Checkpointing, root: Path | str, fence: Callable[[], None] = lambda: None
) -> CheckpointStore:
    """The checkpoints of one training, kept as the workload says.

    Args:
        settings: the workload's section.
        root: see `places.checkpoint_root`.
        fence: called before every write; raises `Fenced` where a newer run owns them.
    """
    keep = settings.keep
    return CheckpointStore(root, KeepPolicy(last=keep.last, best=keep.best, every=keep.every), fence)
