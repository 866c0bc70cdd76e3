"""The loop on one worker: resume, stop, reports, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_training import SAMPLES, ToyBatch, ToyTask, toy_config

from orchestrator.base.errors import Conflict, DataError, UsageError
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.config import EngineContext, EpochReport, TrainConfig, TrainResult
from orchestrator.training.determinism import deterministic
from orchestrator.training.digest import parameters_digest
from orchestrator.training.engine import train
from orchestrator.training.progress import Progress
from orchestrator.training.step import NonFiniteLoss
from orchestrator.training.task import Request


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    with deterministic(1):
        yield


def run(config: TrainConfig | None = None, task: ToyTask | None = None, **context: object) -> TrainResult:
    return train(task or ToyTask(), config or toy_config(), EngineContext(device=torch.device("cpu"), **context))  # type: ignore[arg-type]


def after(calls: int) -> Iterator[bool]:
    for _ in range(calls - 1):
        yield False
    while True:
        yield True


def test_the_same_seed_gives_the_same_parameters() -> None:
    assert parameters_digest(run().model) == parameters_digest(run().model)


def test_another_seed_gives_others() -> None:
    assert parameters_digest(run().model) != parameters_digest(run(replace(toy_config(), seed=4)).model)


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_stopped_and_resumed_training_ends_with_the_same_parameters(tmp_path: Path, step: int) -> None:
    store = CheckpointStore(tmp_path)
    answers = after(step)
    first = run(checkpoints=store, stop=lambda: next(answers))
    assert first.state == "stopped"
    notes: list[str] = []
    second = run(checkpoints=store, note=notes.append)
    undisturbed = run()
    assert parameters_digest(second.model) == parameters_digest(undisturbed.model)
    assert [r.validation for r in second.history] == [r.validation for r in undisturbed.history]
    assert [r.train_loss for r in second.history] == [r.train_loss for r in undisturbed.history]
    assert second.exact_until is None
    assert [note for note in notes if note.startswith("resumed from")]


def test_a_stop_during_the_evaluation_is_resumed_there(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    answers = after(5)  # four steps, then the evaluation asks
    first = run(checkpoints=store, stop=lambda: next(answers))
    assert (first.state, first.samples, first.history) == ("stopped", SAMPLES["train"], ())
    assert parameters_digest(run(checkpoints=store).model) == parameters_digest(run().model)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    first = run(checkpoints=store)
    told: list[EpochReport] = []
    again = run(checkpoints=store, report=lambda report: bool(told.append(report)) or True)
    assert again.state == "finished"
    assert told == []
    assert again.history == first.history
    assert parameters_digest(again.model) == parameters_digest(first.model)


def test_a_report_can_end_the_training(tmp_path: Path) -> None:
    result = run(checkpoints=CheckpointStore(tmp_path), report=lambda report: False)
    assert (result.state, len(result.history), result.samples) == ("stopped", 1, SAMPLES["train"])


def test_the_last_reports_answer_does_not_unfinish_a_training(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    result = run(checkpoints=store, report=lambda report: report.epoch < 2)
    assert result.state == "finished"
    newest = store.newest()
    assert newest is not None
    assert newest.samples == 2 * SAMPLES["train"]


def test_reports_count_samples_and_measure_the_validation_split() -> None:
    told: list[EpochReport] = []
    run(report=lambda report: bool(told.append(report)) or True)
    assert [(r.epoch, r.samples) for r in told] == [(1, 53), (2, 106)]
    assert all(set(r.validation) == {"loss", "error"} for r in told)
    assert told[-1].rate == pytest.approx(0.2 / (1 + (53 + 48) / 50))
    assert told[1].train_loss < told[0].train_loss


def test_only_due_epochs_are_evaluated_and_always_the_last() -> None:
    told: list[EpochReport] = []
    run(replace(toy_config(epochs=3), evaluate_every=2), report=lambda r: bool(told.append(r)) or True)
    assert [bool(r.validation) for r in told] == [False, True, True]


def test_progress_is_told_at_the_start_and_at_the_end() -> None:
    told: list[Progress] = []
    run(progress=told.append)
    assert told[0].samples == 0
    assert told[-1].samples == told[-1].total == 106
    assert told[-1].eta_seconds == 0


def test_a_checkpoint_of_another_dataset_is_refused(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    run(checkpoints=store)
    with pytest.raises(Conflict, match="version: 1 then, 2 now"):
        run(task=ToyTask("2"), checkpoints=store)


@dataclass(frozen=True)
class InChunks(ToyTask):
    chunk: int = 100
    sizes: list[int] = field(default_factory=list)

    def evaluate(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        self.sizes.append(len(batch))
        return super().evaluate(model, batch)


def test_a_task_says_how_many_samples_are_measured_at_once_and_its_checkpoints_belong_to_it(tmp_path: Path) -> None:
    store, small, usual = CheckpointStore(tmp_path), InChunks(), InChunks(chunk=ToyTask().chunk)
    for task in (small, usual):
        run(toy_config(epochs=1), task, checkpoints=store if task is small else None)
    assert (small.sizes, usual.sizes) == ([100, 100, 100], [256, 44])
    with pytest.raises(Conflict, match="evaluation_chunk: 100 then, 256 now"):
        run(toy_config(epochs=1), usual, checkpoints=store)


def test_on_another_torch_a_resumed_training_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path)
    answers = after(2)
    run(checkpoints=store, stop=lambda: next(answers))
    monkeypatch.setattr("orchestrator.training.engine.fingerprint", lambda device: {"torch": "other"})
    assert run(checkpoints=store).exact_until == 32


@dataclass(frozen=True)
class DivergingTask(ToyTask):
    def loss(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        return super().loss(model, batch) * float("inf")


def test_a_loss_that_is_not_finite_is_an_error_that_says_where() -> None:
    with pytest.raises(NonFiniteLoss, match="inf in epoch 1, step 0") as caught:
        run(task=DivergingTask())
    assert "optim.lr" in caught.value.hint


def test_batch_norm_over_single_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2 samples"):
        run(toy_config(slice_samples=1))


def test_one_slice_is_an_ordinary_step() -> None:
    """Against a plain loop in torch, with the whole batch as the only slice and batches that divide the epoch."""
    config = toy_config(epochs=1, batch_size=53, slice_samples=53)
    ours = run(config, task=PlainTask()).model
    torch.manual_seed(0)
    plain = run(replace(config, epochs=0), task=PlainTask()).model
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.2, momentum=0.9, nesterov=True)
    task = PlainTask()
    batch = task.load(Request("train", 0, torch.arange(53).numpy()))
    (task.loss(plain, batch) / 53).backward()
    optimizer.step()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4)


@dataclass(frozen=True)
class PlainTask(ToyTask):
    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


@dataclass(frozen=True)
class CorruptTask(ToyTask):
    """Every sample of some splits is corrupt and left out."""

    corrupt: tuple[str, ...] = ("train",)

    def load(self, request: Request) -> ToyBatch:
        kept = 0 if request.split in self.corrupt else None
        return super().load(replace(request, positions=request.positions[:kept]))


@pytest.mark.parametrize(("split", "slice_samples"), [("train", 4), ("train", 16), ("validation", 4)])
def test_a_split_whose_samples_are_all_corrupt_ends_the_training_as_an_error_of_the_data(
    split: str, slice_samples: int, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"{split}.*: every one of its {SAMPLES[split]} samples is corrupt") as caught:
        run(
            toy_config(slice_samples=slice_samples),
            CorruptTask(corrupt=(split,)),
            checkpoints=CheckpointStore(tmp_path),
        )
    assert "orchestrator data verify" in caught.value.hint
    assert not list(tmp_path.iterdir())
