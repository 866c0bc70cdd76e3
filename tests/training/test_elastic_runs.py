"""What runs with changing workers say and write: trails, goodput, several kinds of trouble."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from elastic_pool import Pool
from elastic_worker import Action
from torch import nn
from toy_training import ToyBatch, ToyTask, toy_config

from orchestrator.rundir.audit import StepAudit, read_audit
from orchestrator.training.config import EmaConfig
from orchestrator.training.task import Request

CONFIG = toy_config(batch_size=16, slice_samples=2)
STORM = (Action("kill", 2, who="leader"), Action("resize", 3, workers=3), Action("resize", 6, workers=1))


def trail(folder: Path) -> dict[int, StepAudit]:
    """What is held last of each step, without who made it."""
    return {step.step: replace(step, world=0, view=0) for step in read_audit(folder)}


@pytest.mark.parametrize("layout", ["ddp", "fsdp"])
def test_the_trail_of_a_storm_is_that_of_the_undisturbed_run(layout: str, pool: Pool, tmp_path: Path) -> None:
    config = replace(CONFIG, parallel=layout)  # type: ignore[arg-type]
    pool.run(ToyTask(), config, 1, audit=tmp_path / "calm")
    pool.run(ToyTask(), config, 3, STORM, audit=tmp_path / "storm")
    calm, storm = trail(tmp_path / "calm"), trail(tmp_path / "storm")
    assert len(calm) == 8
    lost = set(calm) - set(storm)  # what the dead leader had not written yet
    assert lost <= {0, 1}
    assert {step: storm[step] for step in storm} == {step: calm[step] for step in storm}


def test_a_killed_worker_costs_one_step_at_most(pool: Pool) -> None:
    ended = pool.run(ToyTask(), CONFIG, 3, (Action("kill", 3),))
    spent = [data for kind, data in ended.leader["said"] if kind == "goodput"][-1]
    assert spent["useful_seconds"] > 0
    assert spent["redone_seconds"] < 1.5
    assert not [data for kind, data in ended.leader["said"] if kind == "rolled_back"]


def test_only_the_leader_speaks_and_a_new_leader_goes_on(pool: Pool, tmp_path: Path) -> None:
    ended = pool.run(ToyTask(), CONFIG, 2, (Action("kill", 5, who="leader", workers=2),), checkpoints=tmp_path)
    first, second = ended.views[-1].numbers
    assert [samples for kind, samples in ended.results[first]["said"] if kind == "checkpoint"][-1] == 106
    assert ended.results[second]["said"] == []


@pytest.mark.parametrize("layout", ["ddp", "fsdp"])
def test_the_average_and_clipping_survive_a_storm(layout: str, pool: Pool) -> None:
    config = replace(CONFIG, parallel=layout, ema=EmaConfig(0.9), clip_norm=0.5)  # type: ignore[arg-type]
    calm, storm = pool.run(ToyTask(), config, 1), pool.run(ToyTask(), config, 3, STORM)
    assert storm.leader["digest"] == calm.leader["digest"]
    assert storm.leader["history"] == calm.leader["history"]


@dataclass(frozen=True)
class Bursting(ToyTask):
    def load(self, request: Request):  # type: ignore[no-untyped-def]
        batch = super().load(request)
        if request.split == "train" and request.epoch == 1 and 20 in request.positions:
            batch.images[:] = float("inf")
        return batch


@dataclass(frozen=True)
class Trying(ToyTask):
    """One step's loss is finite, and one element of its gradient, which one shard holds, is not; a measure draws."""

    chunk: int = 64

    def load(self, request: Request) -> ToyBatch:
        batch = super().load(request)
        if request.split == "train" and request.epoch == 1 and 20 in request.positions:
            batch.images[:] = 0.0
        return batch

    def loss(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        usual = super().loss(model, batch)
        if batch.images.any():
            return usual
        assert isinstance(model, nn.Sequential)
        return usual + (model[8].bias[2] * 0).square().sqrt()

    def evaluate(self, model: nn.Module, batch: ToyBatch) -> torch.Tensor:
        return super().evaluate(model, replace(batch, images=nn.functional.dropout(batch.images)))


@pytest.mark.parametrize("layout", ["ddp", "fsdp"])
def test_a_gradient_that_is_not_finite_and_a_measure_that_draws_are_the_same_on_any_number_of_workers(
    layout: str, pool: Pool
) -> None:
    config = replace(CONFIG, parallel=layout, non_finite="skip")  # type: ignore[arg-type]
    alone, three = (pool.run(Trying(), config, workers) for workers in (1, 3))
    assert [report.skipped_steps for report in three.leader["history"]] == [0, 1]
    assert three.leader["history"] == alone.leader["history"]
    assert three.leader["digest"] == alone.leader["digest"] is not None


def test_all_go_back_together(pool: Pool, tmp_path: Path) -> None:
    config = replace(CONFIG, non_finite="rollback")
    alone = pool.run(Bursting(), config, 1, checkpoints=tmp_path / "one")
    three = pool.run(Bursting(), config, 3, (Action("kill", 6),), checkpoints=tmp_path / "three")
    assert three.leader["digest"] == alone.leader["digest"]
    assert [data["samples"] for kind, data in three.leader["said"] if kind == "rolled_back"] == [53]


@pytest.mark.parametrize("layout", ["ddp", "fsdp"])
def test_without_exact_the_workers_agree_and_the_result_is_close(layout: str, pool: Pool) -> None:
    config = replace(CONFIG, parallel=layout, exact=False)  # type: ignore[arg-type]
    loose, alone = pool.run(ToyTask(), config, 3, STORM[1:]), pool.run(ToyTask(), config, 1)
    losses = [ended.leader["history"][-1].train_loss for ended in (loose, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_stop_asked_of_one_worker_stops_all_after_the_same_step(pool: Pool, tmp_path: Path) -> None:
    ended = pool.run(ToyTask(), CONFIG, 3, (Action("stop", 2),), checkpoints=tmp_path)
    assert [(result["state"], result["samples"]) for result in ended.results.values()] == [("stopped", 48)] * 3


def test_more_workers_than_slices_are_refused(pool: Pool) -> None:
    ended = pool.run(ToyTask(), toy_config(batch_size=16, slice_samples=16), 2)
    assert all("2 workers cannot share a global batch of 1 virtual workers" in r for r in ended.results.values())
