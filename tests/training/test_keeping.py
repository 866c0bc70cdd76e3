"""Which checkpoint is owed, and what becomes of those whose workers leave or are lost."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from elastic_pool import Pool
from elastic_worker import Action
from slow_writers import SlowlyKept
from toy_training import toy_config

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership.solo import Solo
from orchestrator.training.checkpoint import CheckpointStore, GivenUp, Saving
from orchestrator.training.config import EngineContext, EpochReport
from orchestrator.training.group import alone
from orchestrator.training.holding import Holding
from orchestrator.training.keeping import LEFT_SECONDS, Keeping
from orchestrator.training.state import Position, TrainingState

CONFIG = toy_config(batch_size=16, slice_samples=2)
CPU = alone(torch.device("cpu"))


def kept(folder: Path) -> dict[int, int | None]:
    """The epoch of each checkpoint that is whole, by its samples."""
    found = [json.loads(path.read_text())["content"] for path in sorted(folder.rglob("manifest.json"))]
    return {each["samples"]: each["epoch"] for each in found}


@pytest.mark.parametrize("layout", ["ddp", "fsdp"])
def test_a_worker_that_dies_while_the_last_checkpoint_is_written_costs_no_checkpoint(
    layout: str, pool: Pool, tmp_path: Path
) -> None:
    config = replace(CONFIG, parallel=layout)  # type: ignore[arg-type]
    ended = pool.run(SlowlyKept(seconds=0.3, deadly=106), config, 2, (Action("stop", 999),), checkpoints=tmp_path)
    assert [view.cause for view in ended.views] == ["start", "lost"]
    assert (ended.leader["state"], kept(tmp_path)) == ("finished", {53: 1, 106: 2})
    told = [(kind, data) for kind, data in ended.leader["said"] if kind in {"checkpoint", "checkpoint_failed"}]
    assert [kind for kind, _ in told] == ["checkpoint", "checkpoint_failed", "checkpoint"]


@pytest.mark.parametrize("layout", ["ddp", "fsdp"])
def test_a_worker_writes_its_part_before_it_leaves(layout: str, pool: Pool, tmp_path: Path) -> None:
    config = replace(CONFIG, parallel=layout)  # type: ignore[arg-type]
    task = SlowlyKept(seconds=0.5)
    ended = pool.run(task, config, 2, (Action("resize", 5, workers=1),), checkpoints=tmp_path)
    assert ended.states == {0: "finished", 1: "left"}
    assert [samples for kind, samples in ended.leader["said"] if kind == "checkpoint"] == [53, 106]
    assert kept(tmp_path) == {53: 1, 106: 2}


def test_a_place_that_breaks_ends_the_training_at_once_and_nobody_waits_for_a_word_that_cannot_be_written(
    pool: Pool, tmp_path: Path
) -> None:
    ended = pool.run(SlowlyKept(broken=106), CONFIG, 2, (), checkpoints=tmp_path)
    assert all("the disk is away" in said or "gave the checkpoint up" in said for said in ended.states.values())
    assert kept(tmp_path) == {53: 1}


@dataclass
class Slow:
    """A checkpoint on its way, as long as the test wants."""

    samples: int
    ended: bool = False
    error: Exception | None = None

    def done(self) -> bool:
        return self.ended

    def owes_nothing(self) -> bool:
        return self.ended

    @property
    def failed(self) -> bool:
        return self.ended and self.error is not None

    def wait(self) -> str:
        if self.error is not None:
            raise self.error
        return f"samples-{self.samples}"

    def abandon(self) -> None:
        self.ended, self.error = True, GivenUp("this worker gave the checkpoint up")


@dataclass
class Store:
    """Takes note of what is begun."""

    begun: list[Slow] = field(default_factory=list)
    epochs: list[int | None] = field(default_factory=list)
    measures: list[Any] = field(default_factory=list)

    def begin(self, samples: int, tensors: Any, meta: Any, group: Any, **about: Any) -> Saving:
        self.begun.append(Slow(samples))
        self.epochs.append(about["epoch"])
        self.measures.append(about["measures"])
        return cast(Saving, self.begun[-1])


@dataclass
class Held:
    """Where a training stands."""

    state: TrainingState = field(default_factory=TrainingState)

    def refuse_not_finite(self, group: Any) -> None:
        pass

    def checkpointed(self) -> dict[str, torch.Tensor]:
        return {}


class Kept:
    """A `Keeping` with a store and a clock of the test's."""

    def __init__(self) -> None:
        self.store, self.time = Store(), 0.0
        self.told: list[tuple[str, Any]] = []
        context = EngineContext(
            membership=Solo(),
            checkpoints=cast(CheckpointStore, self.store),
            checkpointed=lambda where, samples, asked: self.told.append(("checkpoint", samples)),
            tell=lambda kind, /, **data: self.told.append((kind, data["samples"])),
        )
        self.keeping = Keeping(replace(CONFIG, epochs=4, checkpoint_every=2), context, {}, {}, now=lambda: self.time)

    def make_up(self, epoch: int, step: int = 0) -> None:
        """A view begins at the end of an epoch, or later."""
        report = EpochReport(epoch, 53 * epoch, 0.1, 0.1, None, {"error": epoch / 10})
        state = TrainingState(Position(epoch, step, samples=53 * epoch + step), history=(report,))
        self.keeping.make_up(cast(Holding, Held(state)), CPU)


def test_the_end_of_an_epoch_that_a_lost_worker_spoiled_is_written_again_with_its_measures() -> None:
    run = Kept()
    run.make_up(2)
    run.keeping.abandon()
    run.make_up(2)
    assert run.store.epochs == [2, 2]
    assert run.store.measures == [{"error": 0.2}] * 2
    run.store.begun[-1].ended = True
    run.keeping.look(leads=True)
    assert run.told == [("checkpoint_failed", 106), ("checkpoint", 106)]


def test_what_is_durable_or_on_its_way_is_not_written_again() -> None:
    run = Kept()
    run.make_up(2)
    run.make_up(2)
    run.store.begun[-1].ended = True
    run.keeping.abandon()
    run.make_up(2)
    assert len(run.store.begun) == 1


def test_only_the_ends_of_epochs_that_are_kept_are_made_up_for() -> None:
    run = Kept()
    run.make_up(0)
    run.make_up(1)
    run.make_up(2, step=1)
    assert run.store.begun == []


def test_a_checkpoint_whose_writer_left_without_a_word_is_given_up_and_another_one_is_due() -> None:
    run = Kept()
    run.make_up(2)
    run.keeping.enters(View(2, (Member(0, "127.0.0.1", 1, 1),), leaving=(1,)))
    run.keeping.look(leads=True)
    assert not run.keeping.is_due()
    run.time = LEFT_SECONDS + 1
    run.keeping.look(leads=True)
    assert run.told == [("checkpoint_failed", 106)]
    assert run.keeping.is_due()
    run.make_up(2)
    assert run.store.epochs == [2, 2]
