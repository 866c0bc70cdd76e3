from dataclasses import dataclass, field

import numpy as np
from toy_training import ToyBatch, ToyTask, toy_config

from orchestrator.training.config import EngineContext
from orchestrator.training.engine import train
from orchestrator.training.group import alone


@dataclass(frozen=True)
class Listening(ToyTask):
    """Notes what is announced, and what is loaded then."""

    told: list[tuple[str, list[tuple[int, list[int]]]]] = field(default_factory=list)
    loaded: list[tuple[str, int, list[int]]] = field(default_factory=list)

    def expect(self, split: str, requests: object) -> None:
        self.told.append((split, [(epoch, positions.tolist()) for epoch, positions in requests]))

    def load(self, split: str, positions: np.ndarray, epoch: int) -> ToyBatch:
        self.loaded.append((split, epoch, positions.tolist()))
        return super().load(split, positions, epoch)


def listened() -> Listening:
    task = Listening()
    train(task, toy_config(epochs=2), EngineContext(group=alone()))
    return task


def test_every_load_is_announced_first_and_the_next_ones_with_it() -> None:
    task = listened()
    assert len(task.told) == len(task.loaded)
    for number, ((split, requests), (loaded_split, epoch, positions)) in enumerate(
        zip(task.told, task.loaded, strict=True)
    ):
        assert (split, requests[0]) == (loaded_split, (epoch, positions))
        for later, request in enumerate(requests):
            assert task.loaded[number + later] == (split, *request)


def test_the_look_ahead_is_full_until_the_epoch_ends() -> None:
    task = listened()
    in_the_first_epoch = [len(requests) for split, requests in task.told if split == "train"][:14]
    assert in_the_first_epoch == [min(task.look_ahead, 14 - load) for load in range(14)]
