"""What the engine does with losses that are not finite, averages, checkpoints by time and on demand, final splits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy_training import SAMPLES, ToyBatch, ToyTask, toy_config

from orchestrator.rundir.audit import AuditWriter, StepAudit, read_audit
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.config import EmaConfig, EngineContext, TrainConfig, TrainResult
from orchestrator.training.determinism import deterministic
from orchestrator.training.digest import parameters_digest
from orchestrator.training.engine import train
from orchestrator.training.evaluation import evaluate
from orchestrator.training.step import NonFiniteLoss
from orchestrator.training.task import Request, Split
from orchestrator.training.units import MOST_ROLLBACKS, MOST_SKIPPED_IN_A_ROW


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    with deterministic(1):
        yield


def run(config: TrainConfig, task: ToyTask | None = None, **context: Any) -> tuple[TrainResult, list[tuple[str, Any]]]:
    """The result, and what was told but for accounts of time, which come when it is time."""
    told: list[tuple[str, Any]] = []
    around = EngineContext(
        device=torch.device("cpu"),
        tell=lambda kind, /, **data: told.append((kind, data)),
        checkpointed=lambda where, samples, asked: told.append(("checkpoint", samples)),
        **context,
    )
    return train(task or ToyTask(), config, around), [each for each in told if each[0] not in {"goodput", "measured"}]


@dataclass(frozen=True)
class Bursting(ToyTask):
    """The loss of some steps is not finite, for as long as they are trained."""

    steps: tuple[tuple[int, int], ...] = ((1, 16),)
    """Epoch, and a position in the step."""

    def load(self, request: Request) -> ToyBatch:
        batch = super().load(request)
        if request.split == "train":
            for epoch, position in self.steps:
                if request.epoch == epoch and position in request.positions:
                    batch.images[:] = math.inf
        return batch


def test_a_step_that_is_not_finite_is_left_out_and_counted() -> None:
    result, told = run(replace(toy_config(), non_finite="skip"), Bursting())
    assert [report.skipped_steps for report in result.history] == [0, 1]
    assert [(kind, data["step"]) for kind, data in told] == [("step_skipped", 5)]
    assert result.samples == 2 * SAMPLES["train"]
    assert all(parameter.isfinite().all() for parameter in result.model.state_dict().values())


def test_a_rollback_goes_back_to_the_checkpoint_and_leaves_the_step_out(tmp_path: Path) -> None:
    skipping, _ = run(replace(toy_config(), non_finite="skip"), Bursting())
    config = replace(toy_config(), non_finite="rollback")
    result, told = run(config, Bursting(steps=((1, 20),)), checkpoints=CheckpointStore(tmp_path))
    back = [data for kind, data in told if kind == "rolled_back"]
    assert [(data["samples"], data["lost_samples"]) for data in back] == [(53, 16)]
    assert result.history[-1].skipped_steps == 1
    assert parameters_digest(result.model) == parameters_digest(skipping.model)


def test_a_rollback_without_a_checkpoint_begins_anew() -> None:
    skipping, _ = run(replace(toy_config(), non_finite="skip"), Bursting())
    result, told = run(replace(toy_config(), non_finite="rollback"), Bursting())
    assert [data["samples"] for kind, data in told if kind == "rolled_back"] == [0]
    assert parameters_digest(result.model) == parameters_digest(skipping.model)


def test_a_training_that_goes_back_again_and_again_is_an_error() -> None:
    bursts = tuple((0, position) for position in range(0, 53, 2))
    config = replace(toy_config(batch_size=4, slice_samples=4), non_finite="rollback")
    with pytest.raises(NonFiniteLoss, match=f"after {MOST_ROLLBACKS} rollbacks"):
        run(config, Bursting(steps=bursts))


def test_the_average_is_what_is_evaluated_and_returned() -> None:
    plain, _ = run(toy_config())
    averaged, _ = run(replace(toy_config(), ema=EmaConfig(0.5)))
    assert averaged.history[-1].train_loss == plain.history[-1].train_loss
    assert averaged.history[-1].validation != plain.history[-1].validation
    assert parameters_digest(averaged.model) != parameters_digest(plain.model)
    found = evaluate(ToyTask(), averaged.model, "validation")
    assert found.means == averaged.history[-1].validation


def test_the_average_of_one_update_lies_between_the_first_parameters_and_the_new_ones() -> None:
    config = toy_config(epochs=1, batch_size=53, slice_samples=53)
    task = ToyTask(norm="gn")
    before, _ = run(replace(config, epochs=0), task)
    after, _ = run(config, task)
    average, _ = run(replace(config, ema=EmaConfig(0.75)), task)
    for first, new, mean in zip(*(each.model.parameters() for each in (before, after, average)), strict=True):
        assert torch.allclose(mean, 0.75 * first + 0.25 * new, atol=1e-7)


def test_checkpoints_that_are_asked_for_are_made_once_each(tmp_path: Path) -> None:
    asked = iter([0, 0, 1, 1, 1, 1, 2, *[2] * 40])
    _, told = run(toy_config(), checkpoints=CheckpointStore(tmp_path), checkpoint_now=lambda: next(asked))
    assert [samples for kind, samples in told if kind == "checkpoint"] == [48, 53, 69, 106]


def test_a_checkpoint_is_due_when_so_much_time_has_passed(tmp_path: Path) -> None:
    config = replace(toy_config(), checkpoint_seconds=1e-9, checkpoint_every=100)
    _, told = run(config, checkpoints=CheckpointStore(tmp_path))
    assert len([samples for kind, samples in told if kind == "checkpoint"]) > 1


def test_a_checkpoint_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    calls = itertools.count()

    def fence() -> None:
        if next(calls) == 1:  # in the background, when the first part is to be written
            raise OSError(28, "No space left on device")

    result, told = run(toy_config(), checkpoints=CheckpointStore(tmp_path, fence=fence))
    assert result.state == "finished"
    assert [samples for kind, samples in told if kind == "checkpoint"] == [106]
    assert "No space left" in dict(told)["checkpoint_failed"]["reason"]


def test_the_last_checkpoint_has_to_be_written(tmp_path: Path) -> None:
    calls = itertools.count()

    def fence() -> None:
        if next(calls) == 1:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(replace(toy_config(), checkpoint_every=100), checkpoints=CheckpointStore(tmp_path, fence=fence))


def test_a_damaged_newest_checkpoint_is_passed_over_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    expected, _ = run(toy_config(), checkpoints=store)
    newest = store.newest()
    assert newest is not None
    part = next(Path(newest.path).rglob("*.distcp"))
    part.write_bytes(b"x" + part.read_bytes()[1:])
    result, told = run(toy_config(), checkpoints=CheckpointStore(tmp_path), reached=106)
    assert "differs from its checksum" in dict(told)["checkpoint_passed_over"]["reason"]
    assert dict(told)["rolled_back"] == {"samples": 53, "lost_samples": 53, "lost_steps": 0}
    assert parameters_digest(result.model) == parameters_digest(expected.model)


@dataclass(frozen=True)
class WithTest(ToyTask):
    def samples(self, split: Split) -> int:
        return 70 if split == "test" else super().samples(split)


def test_final_splits_are_evaluated_once_at_the_end() -> None:
    result, _ = run(replace(toy_config(), final_splits=("test",)), WithTest())
    assert result.final == {"test": evaluate(WithTest(), result.model, "test")}
    assert result.final["test"].samples == 70


def test_the_trail_holds_every_step_and_says_the_same_of_equal_trainings(tmp_path: Path) -> None:
    def trail(name: str, config: TrainConfig) -> list[StepAudit]:
        run(config, audit=AuditWriter(tmp_path / name, "worker-0"))
        return list(read_audit(tmp_path / name))

    first, second = trail("a", toy_config()), trail("b", toy_config())
    assert [(step.step, step.epoch) for step in first] == [(n, n // 4) for n in range(8)]
    assert first == second
    other = trail("c", replace(toy_config(), seed=4))
    assert other[0].samples == first[0].samples
    assert other[0].gradient != first[0].gradient
    assert len({step.parameters["8.weight"] for step in first}) == 8


def test_several_losses_are_reported_by_name() -> None:
    class TwoLosses(ToyTask):
        def loss(self, model: nn.Module, batch: ToyBatch) -> dict[str, torch.Tensor]:  # type: ignore[override]
            logits = model(batch.images)
            fit = nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
            return {"fit": fit, "size": 0.01 * logits.square().sum()}

    result, _ = run(toy_config(), TwoLosses())
    report = result.history[-1]
    assert set(report.losses) == {"fit", "size"}
    assert sum(report.losses.values()) == pytest.approx(report.train_loss)


@dataclass(frozen=True)
class Rooted(ToyTask):
    """The loss of every step from one epoch on is finite, and its gradient is not: that of a square root at 0."""

    first: int = 1

    def load(self, request: Request) -> ToyBatch:
        batch = super().load(request)
        if request.split == "train" and request.epoch >= self.first:
            batch.labels[:] = -batch.labels - 1
        return batch

    def loss(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        wrong = bool((batch.labels < 0).any())
        usual = super().loss(model, replace(batch, labels=-batch.labels - 1) if wrong else batch)
        return usual + (next(model.parameters()) * 0).square().sum().sqrt() if wrong else usual


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gradient_that_is_not_finite_is_no_update(precision: Any) -> None:
    config = replace(toy_config(), precision=precision, non_finite="skip")
    result, told = run(config, Rooted())
    assert [data["step"] for kind, data in told if kind == "step_skipped"] == [4, 5, 6, 7]
    expected, _ = run(replace(config, max_steps=4), Rooted())
    assert parameters_digest(result.model) == parameters_digest(expected.model)


def test_a_gradient_that_is_not_finite_under_a_finite_loss_ends_the_training_by_default() -> None:
    with pytest.raises(NonFiniteLoss, match="its gradient is not, in epoch 2, step 4"):
        run(toy_config(), Rooted())


def test_a_training_whose_steps_are_all_left_out_is_an_error() -> None:
    config = replace(toy_config(epochs=20), non_finite="skip")
    with pytest.raises(NonFiniteLoss, match=rf"step 23, the last of {MOST_SKIPPED_IN_A_ROW} such steps in a row"):
        run(config, Rooted())


def test_who_takes_epochs_over_is_told_of_them(tmp_path: Path) -> None:
    first, _ = run(toy_config(), checkpoints=CheckpointStore(tmp_path))
    adopted: list[Any] = []
    run(toy_config(), checkpoints=CheckpointStore(tmp_path), adopted=adopted.append)
    assert adopted[-1] == first.history


@dataclass(frozen=True)
class Spoiling(ToyTask):
    """What is learned in the second epoch is spoiled after it was used: the loss of its last step is finite."""

    def after_step(self, model: nn.Module, samples: int) -> None:
        if samples == 2 * SAMPLES["train"]:
            next(model.parameters()).data.view(-1)[0] = math.inf


@pytest.mark.parametrize("policy", ["fail", "skip", "rollback"])
def test_what_is_not_finite_is_never_written_to_a_checkpoint(policy: Any, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    task, config = Spoiling(measures=()), replace(toy_config(), non_finite=policy)
    run(replace(config, epochs=1), task, checkpoints=store)
    with pytest.raises(NonFiniteLoss, match="after step 7 the parameters"):
        run(config, task, checkpoints=store)
    newest = store.newest()
    assert newest is not None
    assert newest.samples == SAMPLES["train"]
