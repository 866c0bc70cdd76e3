"""One worker of elastic_overhead.py: makes the steps of all contenders in turn, in one process and one group.

python overhead_worker.py RANK WORLD PORT_FILE ROUNDS SLICE_SAMPLES

Rank 0 prints {contender: [[seconds, CPU seconds of all workers], ...]}.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torchvision.models import resnet18

from orchestrator.rundir.membership import Member, View
from orchestrator.training.batching import StepBatch
from orchestrator.training.config import TrainConfig
from orchestrator.training.determinism import deterministic
from orchestrator.training.forming import form, leave, own_store
from orchestrator.training.group import Group
from orchestrator.training.layout.protocol import Arrival
from orchestrator.training.layout.replicated import ReplicatedLayout
from orchestrator.training.optim import SGDConfig, build_optimizer
from orchestrator.training.slices import SlicePlan, share
from orchestrator.training.step import Stepper, StepPlace
from orchestrator.training.table import Flags
from orchestrator.training.task import Request, Task

VIRTUAL_WORKERS = 8
CLASSES = 100
SIDE = 64
WARMING = 4
"""Rounds until the allocator's heap has stopped growing."""
RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-5


@dataclass(frozen=True)
class Images:
    """Images (N, 3, 64, 64) and labels (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(self.images.to(device, memory_format=torch.channels_last), self.labels.to(device))


@cache
def images(samples: int) -> Images:
    """Noise, made once, so that no contender waits for data."""
    made = torch.randn(samples, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return Images(made.to(memory_format=torch.channels_last), torch.arange(samples) % CLASSES)


def network() -> nn.Module:
    """ResNet-18, the same for all contenders."""
    torch.manual_seed(0)
    return resnet18(num_classes=CLASSES)


class Classify(Task[Images]):
    """The recipe of our contenders."""

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """Nothing is resumed."""
        return {}

    def build_model(self) -> nn.Module:
        """ResNet-18."""
        return network()

    def samples(self, split: str) -> int:
        """As many as anybody asks for."""
        return 1 << 40

    def load(self, request: Request) -> Images:
        """The same for each request of a size."""
        return images(len(request.positions))

    def loss(self, model: nn.Module, batch: Images) -> torch.Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(model(batch.images), batch.labels, reduction="sum")


def ours(group: Group, slice_samples: int, *, exact: bool) -> Callable[[], None]:
    """A step of this engine, its update included."""
    plan = SlicePlan(VIRTUAL_WORKERS * slice_samples, slice_samples)
    config = TrainConfig(epochs=1, plan=plan, schedule=Constant(), exact=exact)
    task = Classify()
    layout = ReplicatedLayout(task.build_model().train(), config, device=group.device)
    layout.enter(Arrival(group, group.size, tuple(range(group.size))), group, {})
    stepper = Stepper(task, layout, config, group, device=group.device)
    settings = SGDConfig(momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    optimizer = build_optimizer(settings, layout.model)
    state = optimizer.fresh(layout.parameters())
    number = 0

    def step() -> None:
        nonlocal number
        positions = np.arange(plan.batch_size, dtype=np.int64) + number * plan.batch_size
        batch = StepBatch(tuple(np.split(positions, VIRTUAL_WORKERS)))
        result = stepper.step(StepPlace(number, 0, number, batch), flags=Flags())
        optimizer.update(
            layout.parameters(),
            layout.gradients(),
            state,
            rate=RATE,
            previous_rate=RATE,
            updates=number,
            norms=layout.squared_norms,
            once=False,
        )
        stepper.statistics.update(result.moments)
        number += 1

    return step


@dataclass(frozen=True)
class Constant:
    """A learning rate."""

    def at(self, samples: int, /) -> float:
        """The same for all samples."""
        return RATE


def plain(group: Group, slice_samples: int) -> Callable[[], None]:
    """DistributedDataParallel over the same slices, as its documentation has it; one process alone needs no wrapper."""
    model = network().to(memory_format=torch.channels_last).train()
    model = DistributedDataParallel(model) if group.size > 1 else model
    optimizer = torch.optim.SGD(
        model.parameters(), RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True, fused=True
    )
    mine = share(VIRTUAL_WORKERS, group.rank, group.size)
    total = VIRTUAL_WORKERS * slice_samples

    def step() -> None:
        optimizer.zero_grad()
        for index in mine:
            batch = images(slice_samples)
            unsynced = group.size > 1 and index != mine[-1]
            with model.no_sync() if unsynced else contextlib.nullcontext():
                loss = nn.functional.cross_entropy(model(batch.images), batch.labels, reduction="sum")
                (loss * (group.size / total)).backward()
        optimizer.step()

    return step


def measure(group: Group, rounds: int, slice_samples: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds, and CPU seconds of all workers, of each contender's steps: in turn, and every other round backwards."""
    contenders = {
        "exact": ours(group, slice_samples, exact=True),
        "not exact": ours(group, slice_samples, exact=False),
        "plain": plain(group, slice_samples),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for number in range(-WARMING, rounds):
        for name in list(contenders)[:: 1 if number % 2 else -1]:
            group.any(False)
            started, worked = time.perf_counter(), time.process_time()
            contenders[name]()
            seconds, worked = time.perf_counter() - started, time.process_time() - worked
            all_worked = float(group.all_reduce(torch.tensor([worked], dtype=torch.float64)).item())
            if number >= 0:
                times[name].append((seconds, all_worked))
    return times


def main(rank: int, world: int, port_file: Path, rounds: int, slice_samples: int) -> None:
    """Meet the others, and measure."""
    store = own_store() if rank == 0 else None
    if store is not None:
        port_file.with_suffix(".new").write_text(str(store.port))
        port_file.with_suffix(".new").rename(port_file)
    while not port_file.exists():
        time.sleep(0.01)
    port = int(port_file.read_text())
    members = tuple(Member(number, "127.0.0.1", port, os.getpid()) for number in range(world))
    with deterministic(1):
        group = form(View(1, members), rank, store)
        times = measure(group, rounds, slice_samples)
        if rank == 0:
            print(json.dumps(times), flush=True)
        gc.collect()
        leave(group)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    os._exit(0)
