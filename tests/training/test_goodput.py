"""What a worker's time is counted as: useful, redone, idle."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from orchestrator.blueprint.batches import EpochBatches
from orchestrator.blueprint.schedule import LearningRate
from orchestrator.training import speaking
from orchestrator.training.batching import UniformBatching
from orchestrator.training.config import EngineContext, TrainConfig
from orchestrator.training.goodput import Goodput
from orchestrator.training.measuring import Measuring
from orchestrator.training.slices import SlicePlan
from orchestrator.training.speaking import Speaking
from orchestrator.training.state import Position


class Worker:
    """One worker's accounts; each unit of its work takes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, reached: int = 0) -> None:
        self._now = 0.0
        monkeypatch.setattr(speaking, "Goodput", lambda: Goodput(lambda: self._now))
        plan = SlicePlan(8, 4)
        config = TrainConfig(epochs=2, plan=plan, schedule=LearningRate(base=0.1, total_samples=32))
        batching = UniformBatching(EpochBatches(16, 8, "keep"), plan)
        self._speaking = Speaking(config, EngineContext(reached=reached), batching, Measuring(torch.device("cpu")))

    def unit(self, samples: int, *, fails: bool = False) -> None:
        self._speaking.works(samples // 8)
        self._now += 1
        if fails:
            self._speaking.failed()
        else:
            self._speaking.worked(replace(Position(), samples=samples))

    @property
    def seconds(self) -> tuple[float, float]:
        """Useful, redone."""
        spent = self._speaking.shared()["goodput"]
        return spent["useful_seconds"], spent["redone_seconds"]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


def test_a_step_is_useful(worker: Worker) -> None:
    worker.unit(8)
    worker.unit(16)
    assert worker.seconds == (2.0, 0.0)


def test_a_round_of_an_evaluation_is_useful(worker: Worker) -> None:
    worker.unit(16)
    worker.unit(16)
    worker.unit(16)
    assert worker.seconds == (3.0, 0.0)


def test_a_step_that_a_lost_worker_broke_was_for_nothing(worker: Worker) -> None:
    worker.unit(8)
    worker.unit(8, fails=True)
    worker.unit(16)
    assert worker.seconds == (2.0, 1.0)


def test_steps_after_going_back_are_redone_until_new_ones_come(worker: Worker) -> None:
    for samples in (8, 16, 24):
        worker.unit(samples)
    for samples in (16, 24, 32):
        worker.unit(samples)
    assert worker.seconds == (4.0, 2.0)


def test_an_evaluation_on_the_way_back_is_redone(worker: Worker) -> None:
    for samples in (8, 16, 24):
        worker.unit(samples)
    for samples in (16, 16):
        worker.unit(samples)
    assert worker.seconds == (3.0, 2.0)


def test_what_an_earlier_run_had_reached_is_redone(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, reached=24)
    for samples in (16, 24, 32):
        worker.unit(samples)
    assert worker.seconds == (1.0, 2.0)
