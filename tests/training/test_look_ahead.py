from collections.abc import Sequence
from dataclasses import dataclass, field

from toy_training import ToyBatch, ToyTask, toy_config

from orchestrator.training.config import EngineContext
from orchestrator.training.engine import train
from orchestrator.training.task import Request


@dataclass(frozen=True)
class Listening(ToyTask):
    """Notes what is announced, and what is loaded then."""

    told: list[tuple[int, list[tuple[str, int, list[int]]]]] = field(default_factory=list)
    loaded: list[tuple[str, int, list[int]]] = field(default_factory=list)

    def expect(self, requests: Sequence[Request]) -> None:
        self.told.append((len(self.loaded), [(r.split, r.epoch, r.positions.tolist()) for r in requests]))

    def load(self, request: Request) -> ToyBatch:
        self.loaded.append((request.split, request.epoch, request.positions.tolist()))
        return super().load(request)

    def told_at(self, load: int) -> list[tuple[str, int, list[int]]]:
        """All that was announced right before a load, in order."""
        return [request for number, requests in self.told if number == load for request in requests]


def listened() -> Listening:
    task = Listening()
    train(task, toy_config(epochs=2), EngineContext())
    return task


TRAINING, EVALUATION = 14, 2  # loads of an epoch


def test_every_load_is_announced_first_and_the_next_ones_with_it() -> None:
    task = listened()
    assert len(task.loaded) == 2 * (TRAINING + EVALUATION)
    for load in range(len(task.loaded)):
        told = task.told_at(load)
        assert told
        assert told == task.loaded[load : load + len(told)]


def test_the_look_ahead_goes_beyond_the_end_of_an_epoch_and_of_an_evaluation() -> None:
    task = listened()
    lengths = [len(task.told_at(load)) for load in range(TRAINING + EVALUATION)]
    assert lengths == [min(task.look_ahead, TRAINING + EVALUATION - load) for load in range(TRAINING)] + [6, 6]


def test_nothing_is_announced_of_a_split_that_has_no_samples() -> None:
    class WithoutValidation(Listening):
        def samples(self, split: str) -> int:
            return super().samples(split) if split == "train" else 0

    task = WithoutValidation()
    train(task, toy_config(epochs=1), EngineContext())
    assert {request[0] for _, requests in task.told for request in requests or [("nothing",)]} == {"train"}
