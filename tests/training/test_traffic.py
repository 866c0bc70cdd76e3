"""What a worker sends in its collectives is counted, and told with the goodput."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from orchestrator.blueprint.batches import EpochBatches
from orchestrator.blueprint.schedule import LearningRate
from orchestrator.training.batching import UniformBatching
from orchestrator.training.config import EngineContext, TrainConfig
from orchestrator.training.measuring import Measuring
from orchestrator.training.slices import SlicePlan
from orchestrator.training.speaking import Speaking
from orchestrator.training.state import Position
from orchestrator.training.traffic import Traffic


def told(steps: list[tuple[int, int]]) -> dict[str, Any]:
    """The goodput that a leader tells after steps of which each is what it sent, and the workers."""
    found: dict[str, Any] = {}
    plan = SlicePlan(8, 4)
    config = TrainConfig(epochs=2, plan=plan, schedule=LearningRate(base=0.1, total_samples=32))
    context = EngineContext(tell=lambda kind, **data: found.update({kind: data}))
    batching = UniformBatching(EpochBatches(16, 8, "keep"), plan)
    speaking = Speaking(config, context, batching, Measuring(torch.device("cpu")))
    speaking.enters(leads=True, shared=None, workers=1)
    for sent, workers in steps:
        speaking.exchanged(sent, workers=workers)
    speaking.progress(Position(), force=True)
    return dict(found["goodput"])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_collective_costs_what_a_ring_would_send(workers: int) -> None:
    traffic = Traffic()
    traffic.all_gather(600, workers)
    gathered = traffic.sent
    traffic.in_parts(600, workers)
    traffic.all_reduce(600, workers)
    traffic.directly(5)
    parts = {1: 0, 2: 300, 3: 400}[workers]
    assert (gathered, traffic.sent) == ((workers - 1) * 600, (workers - 1) * 600 + 3 * parts + 5)


def test_the_goodput_tells_the_mean_of_the_steps_that_were_shared() -> None:
    assert told([(100, 2), (0, 1), (300, 3)])["sent_bytes_per_step"] == 200


def test_who_always_was_alone_tells_no_bytes() -> None:
    assert "sent_bytes_per_step" not in told([(0, 1)])
