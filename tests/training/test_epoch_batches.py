"""Epochs that are shorter or longer than their samples: corrupt ones left out, last batches dropped or filled up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from toy_training import SAMPLES, ToyBatch, ToyTask, toy_config

from orchestrator.base.errors import Conflict, UsageError
from orchestrator.data.batches import BatchPlan
from orchestrator.spec.data import LastBatch
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.config import EngineContext, TrainConfig, TrainResult
from orchestrator.training.determinism import deterministic
from orchestrator.training.digest import parameters_digest
from orchestrator.training.engine import train
from orchestrator.training.task import Request


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    with deterministic(1):
        yield


@dataclass(frozen=True)
class Asked(ToyTask):
    """Remembers which training positions it was asked for, and leaves out those that are corrupt."""

    corrupt: tuple[int, ...] = ()
    positions: list[int] = field(default_factory=list)

    def load(self, request: Request) -> ToyBatch:
        if request.split == "train":
            self.positions.extend(request.positions.tolist())
        whole = request.positions[~np.isin(request.positions, self.corrupt)]
        return super().load(replace(request, positions=whole))


def run(config: TrainConfig, task: Asked, **context: object) -> TrainResult:
    return train(task, config, EngineContext(**context))  # type: ignore[arg-type]


def test_what_was_skipped_is_counted_over_all_epochs_and_said_after_each() -> None:
    notes: list[str] = []
    result = run(toy_config(), Asked(corrupt=(3, 52)), note=notes.append)
    assert [report.skipped for report in result.history] == [2, 4]
    assert [report.validation_skipped for report in result.history] == [2, 2]  # the same places there
    assert result.skipped == 4
    assert "epoch 2: 2 of 53 samples were corrupt and left out" in notes
    assert "epoch 2: 2 validation samples were corrupt and left out" in notes


def test_skipped_samples_move_the_learning_rate_no_further_than_others() -> None:
    whole, shorter = run(toy_config(), Asked()), run(toy_config(), Asked(corrupt=(3, 52)))
    assert [r.rate for r in whole.history] == [r.rate for r in shorter.history]
    assert whole.samples == shorter.samples == 2 * SAMPLES["train"]
    assert whole.history[0].train_loss != shorter.history[0].train_loss


def test_a_resumed_training_remembers_what_was_skipped(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    answers = iter([False] * 5 + [True])
    first = run(toy_config(), Asked(corrupt=(3, 52)), checkpoints=store, stop=lambda: next(answers))
    assert first.state == "stopped"
    second = run(toy_config(), Asked(corrupt=(3, 52)), checkpoints=store)
    assert [report.skipped for report in second.history] == [2, 4]
    assert parameters_digest(second.model) == parameters_digest(run(toy_config(), Asked(corrupt=(3, 52))).model)


@pytest.mark.parametrize(("last", "samples"), [("keep", 53), ("drop", 48), ("wrap", 64)])
def test_an_epoch_uses_what_its_last_batch_says_and_says_so(last: LastBatch, samples: int) -> None:
    notes: list[str] = []
    task = Asked()
    result = run(replace(toy_config(epochs=1), last_batch=last), task, note=notes.append)
    assert task.positions == list(range(samples))  # those past the end are the order's first ones again
    assert result.samples == samples
    assert bool(result.left_out) == (last != "keep")
    assert (result.left_out in notes) == (last != "keep")


@pytest.mark.parametrize("last", ["keep", "drop", "wrap"])
def test_the_engine_asks_for_the_positions_that_the_loaders_plan(last: LastBatch) -> None:
    task, config = Asked(), replace(toy_config(epochs=1), last_batch=last)
    run(config, task)
    plan = BatchPlan(SAMPLES["train"], config.plan.batch_size, last)
    assert task.positions == np.concatenate([plan.positions(step) for step in range(plan.steps)]).tolist()


def test_another_word_on_the_last_batch_is_another_training(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    run(toy_config(epochs=1), Asked(), checkpoints=store)
    with pytest.raises(Conflict, match="last_batch: keep then, drop now"):
        run(replace(toy_config(), last_batch="drop"), Asked(), checkpoints=store)


def test_an_epoch_of_no_whole_batch_cannot_drop_it() -> None:
    with pytest.raises(UsageError, match="no whole batch of 64"):
        run(replace(toy_config(batch_size=64), last_batch="drop"), Asked())
