"""The contenders of gpu_training.py: this engine's training and a plain PyTorch loop, some steps at a time."""

from __future__ import annotations

import atexit
import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from orchestrator.data.gpu_decode import DeviceLoader
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.order import FULL
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.torch_columns import host_tensor
from orchestrator.data.transform import HorizontalFlip, Transform
from orchestrator.data.workers import WorkerPool
from orchestrator.recipes.classification import LabelledImages, smoothed_loss
from orchestrator.training.config import EngineContext, TrainConfig
from orchestrator.training.determinism import deterministic
from orchestrator.training.engine import train
from orchestrator.training.optim import SGDConfig
from orchestrator.training.slices import SlicePlan
from orchestrator.training.task import Request, Split, Task
from peers.gpu_size import Job
from peers.ours import MEAN, STD
from peers.share import Epoch

RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-5
_CLASSES = 1000
_EPOCHS = 10_000

Load = Callable[[Request], LabelledImages]


def engine(job: Job) -> Epoch:
    """`training.engine.train` on one worker with one slice, which pauses after each `job.size.steps` steps."""
    task = Classify(job)
    turns = Turns(job.size.steps, lambda: task.pool.pids)
    config = TrainConfig(
        epochs=_EPOCHS,
        plan=SlicePlan(job.size.batch, job.size.batch),
        schedule=Constant(),
        optimizer=SGDConfig(momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY),
        precision="bf16",
        compile=job.size.compiled,
    )

    def run() -> None:
        with deterministic(job.size.loaders):
            train(task, config, EngineContext(device=torch.device(job.size.device), stop=turns.stop))

    turns.start(run)
    return lambda number: turns.take() * job.size.batch


def plain(job: Job) -> Epoch:
    """The loop that PyTorch's own pages have; it never waits for the GPU before its steps are over."""
    device = torch.device(job.size.device)
    torch.backends.cudnn.benchmark = job.way == "any"
    torch.set_num_threads(job.size.loaders)
    model = network(job).to(device).to(memory_format=torch.channels_last).train()
    if job.size.compiled:
        model.compile()
    optimizer = torch.optim.SGD(
        model.parameters(), RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY, fused=True
    )
    batch = noise(job)

    def steps(number: int) -> int:
        with deterministic(job.size.loaders) if job.way == "deterministic" else nullcontext():
            for _ in range(job.size.steps):
                optimizer.zero_grad()
                with torch.autocast(device.type, torch.bfloat16):
                    loss = functional.cross_entropy(model(batch.images), batch.labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            synchronise()
        return job.size.steps * job.size.batch

    return steps


class Turns:
    """Lets a training of the engine, in a thread of its own, go on for some steps at a time.

    Between them its loader processes are stopped: what they would make ahead meanwhile would count for nothing.

    Args:
        steps: at a time.
        pids: of the loader processes.
    """

    def __init__(self, steps: int, pids: Callable[[], Sequence[int]]) -> None:
        self._steps, self._pids, self._left = steps, pids, 0
        self._begin: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def start(self, training: Callable[[], None]) -> None:
        """Begin it, up to its first step."""

        def run() -> None:
            try:
                training()
                raise RuntimeError("the training ended early")
            except BaseException as error:
                self._ended.put(error)

        threading.Thread(target=run, daemon=True).start()
        atexit.register(self._signal, signal.SIGCONT)
        self._wait()

    def stop(self) -> bool:
        """What the engine asks before each step."""
        if not self._left:
            synchronise()
            self._ended.put(None)
            self._begin.get()
            self._left = self._steps
        self._left -= 1
        return False

    def take(self) -> int:
        """Make the next steps; how many."""
        self._signal(signal.SIGCONT)
        self._begin.put(None)
        self._wait()
        self._signal(signal.SIGSTOP)
        return self._steps

    def _wait(self) -> None:
        failure = self._ended.get()
        if failure is not None:
            raise RuntimeError(f"{type(failure).__name__}: {failure}") from failure

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            os.kill(pid, number)


@dataclass(frozen=True)
class Constant:
    """A learning rate."""

    def at(self, samples: int, /) -> float:
        """The same for all samples."""
        return RATE


class Classify(Task[LabelledImages]):
    """The engine's recipe: images that lie on the device, or come from shards and are mirrored at random."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.pool = WorkerPool(job.size.loaders)
        options = LoaderOptions(
            shuffle=FULL, cache_bytes=0, image="record", decode="gpu" if job.way == "gpu" else "cpu"
        )
        transform = Transform(3, MEAN, STD, augmentations=(HorizontalFlip(),))
        self._loader = BatchLoader(ShardedDataset(job.shards, "train"), transform, options, self.pool)
        self._load = {"synthetic": _synthetic, "cpu": _by_processes, "gpu": _on_the_device}[job.way](job, self._loader)

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """Nothing is resumed."""
        return {}

    @property
    def look_ahead(self) -> int:
        """How many loads can be made ahead."""
        return self.pool.depth if self._job.way == "cpu" else 1

    def build_model(self) -> nn.Module:
        """The model."""
        return network(self._job)

    def samples(self, split: Split) -> int:
        """Of the training split; there is no other."""
        return self._job.size.images if split == "train" else 0

    def expect(self, requests: Sequence[Request]) -> None:
        """What the loader processes make next."""
        if self._job.way == "cpu":
            self._loader.expect([(request.epoch, request.positions) for request in requests])

    def load(self, request: Request) -> LabelledImages:
        """A batch."""
        return self._load(request)

    def loss(self, model: nn.Module, batch: LabelledImages) -> torch.Tensor:
        """Cross-entropy."""
        return smoothed_loss(model(batch.images), batch.labels, 0.0)

    def after_step(self, model: nn.Module, samples: int) -> None:
        """The optimizer changes all there is."""


def _synthetic(job: Job, loader: BatchLoader) -> Load:
    batch = noise(job)
    return lambda request: batch


def _by_processes(job: Job, loader: BatchLoader) -> Load:
    def load(request: Request) -> LabelledImages:
        images, labels = loader.load(request.positions, request.epoch)
        pinned = job.size.device == "cuda"
        return LabelledImages(host_tensor(images, pinned=pinned), host_tensor(labels, pinned=pinned))

    return load


def _on_the_device(job: Job, loader: BatchLoader) -> Load:
    device = DeviceLoader(loader, torch.device(job.size.device))
    return lambda request: LabelledImages(*device.load(request.positions, request.epoch))


def noise(job: Job) -> LabelledImages:
    """A batch that lies on the device."""
    made = torch.randn(job.size.batch, 3, job.size.pixels, job.size.pixels, generator=torch.Generator().manual_seed(1))
    return LabelledImages(made, torch.arange(job.size.batch) % _CLASSES).to(torch.device(job.size.device))


def network(job: Job) -> nn.Module:
    """The model with new parameters."""
    made: nn.Module = models.get_model(job.model, weights=None, num_classes=_CLASSES)
    return made


def synchronise() -> None:
    """Wait until the GPU has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
