"""The recipe on real images, in one process, as a trial runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from orchestrator.base.errors import Conflict, DataError, Fenced, UsageError
from orchestrator.blueprint.workload import parameters_of
from orchestrator.data.arrays import Int64s
from orchestrator.data.images import ImageReader
from orchestrator.data.workers import Ticket, WorkerPool, look_ahead
from orchestrator.recipes.images import ImageSplits
from orchestrator.recipes.metrics import EpochMetrics
from orchestrator.recipes.training import TrainingOutcome, evaluate_checkpoint, run_training
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.config import EngineContext, EpochReport
from orchestrator.training.digest import parameters_digest
from orchestrator.training.progress import Progress
from orchestrator.training.step import NonFiniteLoss

Tiny = Callable[..., RegNetWorkload]


def run(workload: RegNetWorkload, checkpoints: Path | None = None, **more: Any) -> TrainingOutcome:
    """Train in this process alone, with the test split measured at the end."""
    names = {name: more.pop(name) for name in ("job", "token") if name in more}
    context = EngineContext(device=torch.device("cpu"), **more)
    parameters = parameters_of(workload.model)
    return run_training(workload, parameters, context, checkpoints=checkpoints, final_splits=("test",), **names)


def test_it_learns_and_reports_every_epoch(tiny: Tiny) -> None:
    told: list[EpochReport] = []
    progress: list[Progress] = []

    def keep(report: EpochReport) -> bool:
        told.append(report)
        return True

    outcome = run(tiny(), report=keep, progress=progress.append)
    assert [(m.epoch, m.samples) for m in told] == [(1, 1078), (2, 2156)]
    assert outcome.result.state == "finished"
    assert outcome.history == tuple(map(EpochMetrics.of, told))
    assert told[1].train_loss < told[0].train_loss
    assert told[1].validation["error"] < 0.6
    assert outcome.final["test"].means["error"] < 0.6
    assert progress[-1].samples == progress[-1].total == 2156


def test_what_the_workload_says_of_the_pixels_counts_before_the_dataset(tiny: Tiny) -> None:
    plain, own = tiny().data, tiny(data={"mean": [0.25], "std": [0.5]}).data
    with ImageSplits.open(plain, 1) as usual, ImageSplits.open(own, 1) as stated:
        assert usual.normalisation == (usual.description.mean, usual.description.std)
        assert stated.normalisation == ((0.25,), (0.5,))
        assert own.identity() != plain.identity()
        three = replace(stated, data=tiny(data={"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}).data)
        with pytest.raises(UsageError, match=r"mean and std of 3 channels .* have 1"):
            three.normalisation  # noqa: B018


def test_with_shuffled_labels_it_does_no_better_than_guessing(tiny: Tiny) -> None:
    outcome = run(tiny(data={"shuffle_labels": True}))
    assert outcome.final["test"].means["error"] == pytest.approx(0.9, abs=0.08)


def test_the_same_seed_gives_the_same_results_and_another_one_others(tiny: Tiny) -> None:
    workload = tiny(train={"epochs": 1})
    first, second = run(workload), run(workload)
    other = run(workload.model_copy(update={"seed": 2}))
    assert parameters_digest(first.result.model) == parameters_digest(second.result.model)
    assert parameters_digest(first.result.model) != parameters_digest(other.result.model)
    assert first.final == second.final != other.final


def test_a_trial_that_was_interrupted_goes_on_and_ends_the_same(tiny: Tiny, tmp_path: Path) -> None:
    workload = tiny()
    answers = iter([False] * 20 + [True] * 100)
    assert run(workload, checkpoints=tmp_path, stop=lambda: next(answers)).result.state == "stopped"
    resumed, undisturbed = run(workload, checkpoints=tmp_path), run(workload)
    assert parameters_digest(resumed.result.model) == parameters_digest(undisturbed.result.model)
    assert [m.val_error for m in resumed.history] == [m.val_error for m in undisturbed.history]


def test_a_checkpoint_is_evaluated_without_training(tiny: Tiny, tmp_path: Path) -> None:
    workload = tiny(train={"epochs": 1})
    outcome = run(workload, checkpoints=tmp_path)
    found = evaluate_checkpoint(workload, parameters_of(workload.model), tmp_path, 1078, "test")
    assert found == outcome.final["test"]


def test_evaluating_what_was_never_saved_is_an_error(tiny: Tiny, tmp_path: Path) -> None:
    workload = tiny()
    with pytest.raises(DataError, match="cannot be used"):
        evaluate_checkpoint(workload, parameters_of(workload.model), tmp_path, 1078, "test")


def test_a_damaged_last_checkpoint_is_named_and_no_earlier_one_is_evaluated(tiny: Tiny, tmp_path: Path) -> None:
    workload = tiny()
    run(workload, checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    [content] = (tmp_path / f"samples-{2156:015d}").glob("*/*.distcp")
    content.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"0002156 cannot be used: .*distcp differs"):
        evaluate_checkpoint(workload, parameters_of(workload.model), tmp_path, 2156, "test")


def test_a_checkpoint_of_another_model_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    run(tiny(train={"epochs": 1}), checkpoints=tmp_path)
    with pytest.raises(Conflict, match=r"model\.depth: 4 then, 5 now"):
        run(tiny(train={"epochs": 1}, model={"depth": 5}), checkpoints=tmp_path)


def test_a_fenced_trial_stops_at_its_checkpoint(tiny: Tiny, tmp_path: Path) -> None:
    job = JobDirectory(tmp_path / "job")
    job.create()
    raise_fence(job, 2)
    with pytest.raises(Fenced):
        run(tiny(train={"epochs": 1}), checkpoints=job.checkpoints, job=job, token=1)
    assert list(job.checkpoints.iterdir()) == []


def test_loader_processes_change_no_bit_and_end_with_the_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    made_ahead: list[int] = []
    submit = WorkerPool.submit

    def counted(pool: WorkerPool, reader: ImageReader, rows: Int64s, *rest: Any) -> Ticket | None:
        made_ahead.append(len(rows))
        return submit(pool, reader, rows, *rest)

    monkeypatch.setattr(WorkerPool, "submit", counted)
    alone = run(tiny(data={"workers": 0}, train={"epochs": 1}))
    assert not made_ahead
    helped = run(tiny(data={"workers": 1}, train={"epochs": 1}))
    assert helped.recipe.look_ahead == look_ahead(1)
    assert sum(made_ahead) >= 1078
    assert parameters_digest(alone.result.model) == parameters_digest(helped.result.model)
    assert alone.final == helped.final
    assert not loader_processes()


def test_loader_processes_end_with_a_training_that_fails(tiny: Tiny) -> None:
    with pytest.raises(NonFiniteLoss):
        run(tiny(data={"workers": 1}, optim={"lr": 1e30, "warmup_iterations": 0}))
    assert not loader_processes()


def loader_processes() -> list[str]:
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    return [command for command in commands if "orchestrator.data.worker" in command]


@pytest.mark.parametrize("last", ["drop", "wrap"])
def test_a_resampled_epoch_and_a_declared_last_batch_count_positions(tiny: Tiny, last: str) -> None:
    outcome = run(tiny(data={"resample": "class_balanced", "last_batch": last}, train={"epochs": 1}))
    assert outcome.result.samples == {"drop": 1024, "wrap": 1088}[last]
    assert outcome.result.left_out


def test_a_worker_without_a_gpu_decodes_on_none(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="this worker has no GPU"):
        run(tiny(data={"decode": "gpu"}))
