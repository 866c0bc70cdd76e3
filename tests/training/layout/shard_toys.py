"""Small models and a bare training loop over a layout, without an engine: what happens between two views."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from orchestrator.training.batchnorm import SliceStatistics
from orchestrator.training.group import Group
from orchestrator.training.layout.sharded import ShardedLayout
from orchestrator.training.memory import checkpoint_activations
from orchestrator.training.seeding import seed_slice

SLICES, SLICE_SAMPLES = 6, 4
RATE, MOMENTUM, DECAY, LONGEST = 0.05, 0.9, 0.9, 1.0


@dataclass(frozen=True)
class Config:
    """What a layout reads of a training's settings."""

    exact: bool = True
    compile: bool = False


class Block(nn.Module):
    """A residual block with dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.drop(torch.relu(self.first(self.norm(x)))))


class Attentive(nn.Module):
    """Layer norm, a parameter of the root, one that has two names, and one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, 1, 7) * 0.1)
        self.blocks = nn.ModuleList([Block(7) for _ in range(2)])
        self.head, self.tied = nn.Linear(7, 3), nn.Linear(7, 3, bias=False)
        self.tied.weight = self.head.weight
        self.spare = nn.Parameter(torch.randn(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.place
        for block in self.blocks:
            y = block(y)
        return (self.head(y) + self.tied(torch.tanh(y))).mean(dim=1)


class Convolved(nn.Sequential):
    """Batch norm, and parameters with fewer rows than there are workers."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(5, 6, 3, padding=1, bias=False),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Conv1d(6, 2, 1),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(14, 3),
        )


class Taught(nn.Module):
    """A student, and a teacher that follows it; only parts of the model are called, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = Attentive(), Attentive()
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False)


MODELS = {"ln": Attentive, "bn": Convolved, "teacher": Taught}


def samples(step: int, index: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 5, 7) and (n,): functions of their places alone."""
    place = torch.arange(size).double().view(-1, 1, 1) + 100 * step + 10 * index
    grid = torch.arange(35).double().view(1, 5, 7)
    return torch.sin(place * 0.37 + grid * (1 + place % 3)).float(), (place.view(-1) % 3).long()


def loss_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if isinstance(model, Taught):
        with torch.no_grad():
            target = model.teacher(x)
        return (model.student(x) - target).square().sum() + model.student(x * 0.5).square().sum()
    return nn.functional.cross_entropy(model(x), y, reduction="sum")


def sizes_of(step: int) -> list[int]:
    """Samples of each slice of a step: sometimes fewer slices, sometimes a short batch."""
    if step % 4 == 3:
        return [SLICE_SAMPLES, SLICE_SAMPLES, 3, 0, 0, 0]
    if step % 4 == 1:
        return [SLICE_SAMPLES] * (SLICES - 1) + [2]
    return [SLICE_SAMPLES] * SLICES


class Trainer:
    """One worker's training, driven step by step."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        torch.manual_seed(5)
        self.parts = int(settings.pop("parts", 1))
        self.precision = settings.pop("precision", "fp32")
        self.checkpointing = bool(settings.pop("checkpointing", False))
        exact = bool(settings.pop("exact", True))
        self.layout = ShardedLayout(
            MODELS[model](), Config(exact, settings.pop("compiled", False)), smallest_unit=0, **settings
        )
        parameters = self.layout.parameters()
        self.state = {f"optimizer/velocity/{n}": torch.zeros_like(p) for n, p in parameters.items()}
        self.state |= {f"ema/{n}": p.clone() for n, p in parameters.items()}
        self.group: Group | None = None

    def settle(self, group: Group) -> None:
        self.group = group
        self.layout.model.train()
        if self.checkpointing:
            checkpoint_activations(self.layout.model)
        self.statistics = SliceStatistics(self.layout.model, torch.device("cpu"))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        low = torch.autocast("cpu", torch.bfloat16) if self.precision == "bf16" else nullcontext()
        with low:
            return self.layout.call(lambda: loss_of(self.layout.model, x, y))

    def step(self, *, fail: Any = lambda where: None) -> None:
        layout, number = self.layout, self.layout.steps
        sizes = sizes_of(number)
        filled = sum(1 for size in sizes if size)
        layout.begin_step(len(sizes), filled)
        order = layout.passes(len(sizes), filled)
        rows = []
        for place, index in enumerate(order, 1):
            rows.append(self._slice(number, index, sizes, last=place == len(order)))
            fail("pass")
        gathered = self.group.all_gather(torch.stack(rows))
        layout.reduce(1 / sum(sizes))
        fail("reduce")
        self._update()
        ordered = [
            gathered[slot % self.group.size, slot // self.group.size] for slot in range(filled) if sizes[slot] > 1
        ]
        if ordered:
            self.statistics.update(torch.stack(ordered))
        fail("commit")
        layout.committed(number + 1, self.state)
        fail("committed")

    def _slice(self, number: int, index: int | None, sizes: list[int], *, last: bool) -> torch.Tensor:
        ghost = index is None
        x, y = samples(number, 0 if ghost else index, sizes[0 if ghost else index])
        chunks = list(zip(x.chunk(self.parts), y.chunk(self.parts), strict=True))
        seed_slice(1, number, 0 if ghost else index, torch.device("cpu"))
        with self.statistics.capture(len(x)):
            for part, (a, b) in enumerate(chunks, 1):
                with self.layout.slice_pass(index, last=last, ends=part == len(chunks)):
                    self.forward(a, b).backward()
            return self.statistics.row.clone()

    @torch.no_grad()
    def _update(self) -> None:
        layout = self.layout
        gradients, parameters = layout.gradients(), layout.parameters()
        norm = float(layout.squared_norms(gradients).sum().sqrt())
        for name, parameter in parameters.items():
            velocity = self.state[f"optimizer/velocity/{name}"]
            velocity.mul_(MOMENTUM).add_(gradients[name] * min(1.0, LONGEST / max(norm, 1e-9)))
            parameter.sub_(velocity * RATE)
            self.state[f"ema/{name}"].mul_(DECAY).add_(parameter * (1 - DECAY))
        if isinstance(layout.model, Taught):
            for of, to in zip(layout.model.student.parameters(), layout.model.teacher.parameters(), strict=True):
                to.mul_(DECAY).add_(of * (1 - DECAY))
