"""One worker of this engine, started by its agent: trains until it is told to leave, with a log of steps.

python ours_worker.py FOLDER
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import nn

from orchestrator.rundir.membership import View
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.membership.protocol import Membership, Phase
from orchestrator.training.config import EngineContext, TrainConfig
from orchestrator.training.engine import train
from orchestrator.training.optim import SGDConfig
from orchestrator.training.slices import SlicePlan
from orchestrator.training.task import Request, Split, Task

sys.path.insert(0, str(Path(__file__).parents[1]))

from resizing.model import BATCH, MOMENTUM, RATE, SLICES, build_model, samples
from resizing.steps import StepLog


@dataclass(frozen=True)
class Images:
    """Images (n, 3, 32, 32) and labels (n,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Constant:
    """A learning rate."""

    def at(self, samples: int, /) -> float:
        """The same for all samples."""
        return RATE


class LoggedMembership:
    """The run's membership; the steps that begin in its views are logged.

    Args:
        inner: the real one.
        log: of this worker.
    """

    def __init__(self, inner: Membership, log: StepLog) -> None:
        self._inner, self._log = inner, log
        self._view: View | None = None
        self._begun: tuple[int, int] | None = None

    @property
    def number(self) -> int:
        """This worker's own number."""
        return self._inner.number

    def ready(self, port: int) -> None:
        """As the real one."""
        self._inner.ready(port)

    def next_view(self, after: int) -> View | None:
        """As the real one."""
        self._view = self._inner.next_view(after)
        return self._view

    def newest_epoch(self) -> int:
        """As the real one."""
        return self._inner.newest_epoch()

    def broken(self, epoch: int, reason: str) -> None:
        """As the real one."""
        self._inner.broken(epoch, reason)

    def beat(self, step: int, phase: Phase) -> None:
        """As the real one; the first computing of a step in a view is its beginning."""
        self._inner.beat(step, phase)
        if phase == "compute" and self._view is not None and self._begun != (step, self._view.epoch):
            self._begun = (step, self._view.epoch)
            self._log.note("begun", step, len(self._view.members), self._view.epoch)

    def completed(self, step: int) -> None:
        """The step is committed on this worker."""
        assert self._view is not None
        self._log.note("completed", step, len(self._view.members), self._view.epoch)


class Classify(Task[Images]):
    """The recipe: one epoch without an end."""

    def __init__(self, membership: LoggedMembership) -> None:
        self._membership = membership

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """Nothing is resumed."""
        return {}

    def build_model(self) -> nn.Module:
        """The model of the race."""
        return build_model()

    def samples(self, split: Split) -> int:
        """More than are ever used."""
        return 1 << 40 if split == "train" else 0

    def load(self, request: Request) -> Images:
        """The samples of the race."""
        return Images(*samples(torch.from_numpy(request.positions)))

    def loss(self, model: nn.Module, batch: Images) -> torch.Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(model(batch.images), batch.labels, reduction="sum")

    def after_step(self, model: nn.Module, samples: int) -> None:
        """Every committed step is logged."""
        self._membership.completed(samples // BATCH - 1)

    def expect(self, requests: Sequence[Request]) -> None:
        """Samples are made when they are asked for."""
        return


def main(folder: Path) -> None:
    """Train until the run is over or this worker has left; the marker says which."""
    context = RunContext.from_environment()
    membership = LoggedMembership(context.membership, StepLog(folder))
    config = TrainConfig(
        epochs=1,
        plan=SlicePlan(BATCH, BATCH // SLICES),
        schedule=Constant(),
        optimizer=SGDConfig(momentum=MOMENTUM),
    )
    surroundings = EngineContext(
        membership=membership, device=torch.device("cpu"), stop=lambda: context.should_stop() is not None
    )
    result = train(Classify(membership), config, surroundings)
    context.finish("succeeded" if result.state == "finished" else result.state, f"{result.samples} samples")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    gc.collect()
    os._exit(0)
