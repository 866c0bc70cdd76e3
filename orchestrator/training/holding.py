"""What a worker holds of a training: parameters in their layout, the optimizer's state, averages, the position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from orchestrator.training import clip, ema
from orchestrator.training.batching import StepBatch
from orchestrator.training.batchnorm import SliceStatistics
from orchestrator.training.config import TrainConfig
from orchestrator.training.group import Group, breaking
from orchestrator.training.layout.protocol import Layout, Tensors
from orchestrator.training.optim import LARSConfig, Optimizer, SquaredNorms, build_optimizer
from orchestrator.training.precision import all_finite
from orchestrator.training.seeding import seed_initialisation
from orchestrator.training.state import TrainingState
from orchestrator.training.step import NonFiniteLoss, StepResult
from orchestrator.training.strided import subsample_first
from orchestrator.training.task import BatchT, Task

_KEPT_STATES = 64
"""States of so many steps back are kept: where shards are lost, a layout may go back a few."""


class Holding:
    """One worker's part of a training, across all views.

    Args:
        task: the recipe.
        config: of the training.
        device: where this worker computes.

    Attributes:
        holds: whether this worker has a state that others could be given.
        used: whether the model may have other parameters than its first ones.
    """

    def __init__(self, task: Task[BatchT], config: TrainConfig, device: torch.device) -> None:
        self._task, self._config, self._device = task, config, device
        self._kept: dict[int, TrainingState] = {}
        self.restart()

    def restart(self) -> None:
        """Begin anew: a model with its first parameters, and nothing learned."""
        self.layout, self.optimizer = self._build()
        self.tensors: Tensors = self.optimizer.fresh(self.layout.parameters())
        if self._config.ema is not None:
            self.tensors |= ema.fresh(self._averaged())
        self._kept.clear()
        self.state = TrainingState()
        self.holds = self.used = False

    @property
    def state(self) -> TrainingState:
        """Where the training stands."""
        return self._state

    @state.setter
    def state(self, state: TrainingState) -> None:
        self._state = state
        self._kept[state.position.steps] = state
        for steps in [steps for steps in self._kept if steps <= state.position.steps - _KEPT_STATES]:
            del self._kept[steps]

    def change(self, **changes: object) -> None:
        """The state with some attributes changed, and a higher version."""
        self.state = replace(self.state, version=self.state.version + 1, **changes)  # type: ignore[arg-type]

    def state_after(self, steps: int) -> TrainingState | None:
        """The newest state after so many steps, where this worker has been there."""
        return self._kept.get(steps) if self.holds else None

    def adopt(self, state: TrainingState) -> None:
        """Take over what another worker says of the state whose tensors lie here now."""
        for steps in [steps for steps in self._kept if steps > state.position.steps]:
            del self._kept[steps]
        self.state = state
        self.holds = True

    @torch.no_grad()
    def commit(self, batch: StepBatch, result: StepResult, statistics: SliceStatistics) -> None:
        """Make the update of a step whose mean gradient the layout holds.

        Raises:
            GroupBroken: a worker is gone; `state` says whether the update was made.
        """
        layout, state, position = self.layout, self.state, self.state.position
        rate = self._config.schedule.at(position.samples) * batch.rate_scale
        parameters, gradients = layout.parameters(), layout.gradients()
        if self._config.clip_norm is not None:
            clip.scale(gradients, layout.squared_norms, self._config.clip_norm)
        norms = self._norms(parameters, gradients)
        self.optimizer.update(
            parameters,
            gradients,
            self.tensors,
            rate=rate,
            previous_rate=state.rate,
            updates=state.updates,
            norms=norms,
            once=self._config.parallel == "fsdp",
        )
        statistics.update(result.moments)
        moved = position.after_step(batch.samples, result)
        self._task.after_step(layout.model, moved.samples)
        self._average(state.updates + 1)
        self.change(position=moved, updates=state.updates + 1, rate=rate, step=result.state, skipped_in_a_row=0)
        layout.committed(moved.steps, self.tensors)

    def leave_out(self, batch: StepBatch, result: StepResult | None) -> None:
        """Go past a step without an update.

        Raises:
            GroupBroken: a worker is gone.
        """
        state = self.state
        moved = state.position.after_leaving_out(batch.samples)
        step = state.step if result is None else result.state
        in_a_row = state.skipped_in_a_row + (result is not None and not result.finite)
        self.change(position=moved, skipped_steps=state.skipped_steps + 1, skipped_in_a_row=in_a_row, step=step)
        self.layout.committed(moved.steps, self.tensors)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Inside, the model is what is to be measured: in evaluation mode, and the average where there is one."""
        model = self.layout.model
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        self._swap()
        try:
            with torch.no_grad():
                yield
        finally:
            self._swap()
            for module, training in modes:
                module.training = training

    def refuse_not_finite(self, group: Group) -> None:
        """Hold that what was learned is finite; all workers of the group call this at once.

        Buffers may hold anything: a mask is made of infinities.

        Raises:
            NonFiniteLoss: on every worker.
        """
        learned = {key: tensor for key, tensor in self.tensors.items() if not key.startswith(ema.EMA)}
        if group.any(not all_finite([*self.layout.parameters().values(), *learned.values()])):
            raise NonFiniteLoss(
                f"after step {self.state.position.steps - 1} the parameters or the optimizer's state are not finite",
                hint="the newest checkpoint is from before that; a lower optim.lr or train.clip_norm usually cures it",
            )

    def result(self, group: Group) -> nn.Module:
        """At the end of a training, called by all: the model (the average, where there is one), whole on the leader.

        Raises:
            GroupBroken: a worker is gone.
        """
        if self._config.parallel == "ddp" or group.size == 1:
            self._swap()
            return self.layout.model
        whole: dict[str, torch.Tensor] = {}
        for name, tensor in sorted(self.checkpointed().items()):
            if name.startswith(("model/", ema.EMA)):
                with breaking():
                    full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
                if group.rank == 0:
                    whole[name] = full.cpu()
        return self._assembled(whole) if group.rank == 0 else self.layout.model

    def checkpointed(self) -> Mapping[str, torch.Tensor]:
        """All tensors, for a checkpoint."""
        return self.layout.checkpointed(self.tensors)

    def _build(self) -> tuple[Layout, Optimizer]:
        seed_initialisation(self._config.seed)
        model = self._task.build_model()
        model.train()
        if self._device.type == "cpu":
            subsample_first(model)
        optimizer = build_optimizer(self._config.optimizer, model)
        if self._config.parallel == "fsdp":
            # Imported where it is used: FSDP2 takes seconds to import.
            from orchestrator.training.layout.sharded import ShardedLayout

            return ShardedLayout(model, self._config, mirror_every=self._config.mirror_every), optimizer
        from orchestrator.training.layout.replicated import ReplicatedLayout

        return ReplicatedLayout(model, self._config, device=self._device), optimizer

    def _norms(self, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> SquaredNorms:
        adapts = isinstance(self._config.optimizer, LARSConfig)
        return Norms(self.layout, parameters, gradients) if adapts else self.layout.squared_norms

    def _assembled(self, whole: Mapping[str, torch.Tensor]) -> nn.Module:
        model = self._task.build_model().to(self._device)
        kinds = ("model/", ema.EMA) if self._config.ema is not None else ("model/",)
        for kind in kinds:
            found = {name.removeprefix(kind): tensor for name, tensor in whole.items() if name.startswith(kind)}
            model.load_state_dict(found, strict=kind == "model/")
        return model

    def _averaged(self) -> dict[str, torch.Tensor]:
        """What the average is of: what is trained, and buffers."""
        return {**self.layout.parameters(), **dict(self.layout.model.named_buffers())}

    def _average(self, updates: int) -> None:
        settings = self._config.ema
        if settings is not None and updates % settings.every_steps == 0:
            ema.update(self.tensors, self._averaged(), settings.decay, once=self._config.parallel == "fsdp")

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange the model and the average, one tensor at a time."""
        if self._config.ema is None:
            return
        for name, tensor in self._averaged().items():
            average = self.tensors[ema.EMA + name]
            kept = tensor.clone()
            tensor.copy_(average)
            average.copy_(kept)


class Norms:
    """Squared norms for an optimizer, all gathered before the first parameter changes: a collective may fail."""

    def __init__(
        self, layout: Layout, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]
    ) -> None:
        self._layout, self._parameters = layout, parameters
        self._of_parameters, self._of_gradients = (
            dict(zip(each, layout.squared_norms(each), strict=True)) for each in (parameters, gradients)
        )

    def __call__(self, tensors: Mapping[str, torch.Tensor], /) -> torch.Tensor:
        """Of parameters, or of their gradients."""
        name, tensor = next(iter(tensors.items()))
        known = self._of_parameters if tensor is self._parameters[name] else self._of_gradients
        return torch.stack([known[name] for name in tensors])
