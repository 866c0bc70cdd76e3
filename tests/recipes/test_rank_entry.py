"""`python -m orchestrator.recipes.main` as the workers of a run."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
from ranks import events, many_workers, new_run, one_rank, spooled, summary

from orchestrator.base.files import create_exclusive
from orchestrator.recipes import work
from orchestrator.rundir import audit
from orchestrator.rundir import events as rundir_events
from orchestrator.rundir.audit import audit_folder, read_audit
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime import context as runtime_context
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.outcome import UNHEARD
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking import spool

Tiny = Callable[..., RegNetWorkload]


@pytest.fixture(scope="module")
def undisturbed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of one worker that trained to its end."""
    run = new_run(tmp_path_factory.mktemp("undisturbed"), tiny())
    assert one_rank(run) == 0
    return run


@pytest.fixture(scope="module")
def stopped(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of one worker that was stopped after its first step."""
    run = new_run(tmp_path_factory.mktemp("moved"), tiny())
    write_control(run, Control(1, 1, "stop", 1, cause="preempt"))
    assert one_rank(run) == 0
    return run


@pytest.fixture(scope="module")
def moved(tiny: Tiny, stopped: RunDirectory) -> RunDirectory:
    """The stopped job's next run, on two workers, to its end."""
    run = new_run(stopped.path.parents[3], tiny(), number=2)
    assert many_workers(run, 2, 2)["outcome"] == "succeeded"
    return run


def test_a_stopped_run_says_so_and_leaves_a_checkpoint(stopped: RunDirectory) -> None:
    assert [event.data["outcome"] for event in events(stopped, "rank_finished")] == ["stopped"]
    assert [event.data["samples"] for event in events(stopped, "checkpoint")] == [64]


def test_every_worker_leaves_its_marker(moved: RunDirectory) -> None:
    found = [(event.writer, event.data["outcome"]) for event in events(moved, "rank_finished")]
    assert found == [("rank-0", "succeeded"), ("rank-1", "succeeded")]


def test_what_one_worker_began_two_workers_end_with_the_same_parameters_and_results(
    undisturbed: RunDirectory, moved: RunDirectory
) -> None:
    assert summary(moved) == summary(undisturbed)


def test_progress_goes_on_where_the_run_was_stopped_and_ends_with_all_samples(moved: RunDirectory) -> None:
    first, *_, last = (event.data for event in events(moved, "progress"))
    assert first["done"] == 64
    assert (last["done"], last["total"], last["unit"], last["eta_seconds"]) == (2156, 2156, "samples", 0)
    assert last["best_label"] == "val error"


def test_checkpoints_are_told_and_kept(moved: RunDirectory) -> None:
    assert [event.data["samples"] for event in events(moved, "checkpoint")] == [1078, 2156]
    assert Path(events(moved, "checkpoint")[-1].data["path"]).is_dir()


def test_the_summary_has_validation_test_and_cost(undisturbed: RunDirectory) -> None:
    found = summary(undisturbed)
    assert found["val_error"] < 0.6
    assert found["test_accuracy"] == pytest.approx(1 - found["test_error"])
    assert found["complexity"]["flops"] > 0
    assert found["dataset"]["splits"] == {"train": 1078, "validation": 360, "test": 359}


def test_metrics_are_spooled_once_an_epoch_by_the_leader(moved: RunDirectory) -> None:
    folder = moved.job.tracking
    assert [path.name for path in folder.iterdir()] == ["rank-0"]
    steps = [record["step"] for record in spooled(moved, "metrics") if "val_error" in record["values"]]
    assert steps == [1078, 2156]
    assert [record["status"] for record in spooled(moved, "end")] == ["finished"]


def test_a_diverging_run_fails_with_a_reason(tiny: Tiny, tmp_path: Path) -> None:
    run = new_run(tmp_path, tiny(optim={"lr": 1e30, "warmup_iterations": 0}))
    assert one_rank(run) == 1
    [marker] = events(run, "rank_finished")
    assert marker.data["outcome"] == "failed"
    assert marker.data["failure_class"] == "application"
    assert "the training loss is" in marker.data["message"]
    assert "optim.lr" in marker.data["message"]


def test_a_run_that_was_fenced_writes_nothing_and_says_why(tiny: Tiny, tmp_path: Path) -> None:
    run = new_run(tmp_path, tiny(train={"epochs": 1}), number=2)
    assert one_rank(run, token=1) == 1
    [marker] = events(run, "rank_finished")
    assert "fencing token 1 is older than 2" in marker.data["message"]
    assert not list(run.job.checkpoints.iterdir())
    assert not (run.job.results / "summary.json").exists()


@contextmanager
def full_disk(*modules: ModuleType, last: float = float("inf")) -> Iterator[list[Path]]:
    """What modules of ours want to create does not fit, the first file of all excepted; the first `last` ones."""
    refused: list[Path] = []

    def create(path: Path, content: bytes) -> bool:
        if path.name != "00000000.json" and len(refused) < last:
            refused.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return create_exclusive(path, content)

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "create_exclusive", create))
        yield refused


def test_a_disk_that_is_full_for_a_while_costs_nothing_but_progress(tiny: Tiny, tmp_path: Path) -> None:
    workload = tiny()
    run = new_run(
        tmp_path, workload.model_copy(update={"elastic": workload.elastic.model_copy(update={"audit": True})})
    )
    with full_disk(rundir_events, audit, spool, last=6) as refused:
        assert one_rank(run) == 0
    assert len(refused) == 6
    assert [event.data["outcome"] for event in events(run, "rank_finished")] == ["succeeded"]
    assert [event.data["samples"] for event in events(run, "checkpoint")] == [1078, 2156]
    steps = [record["step"] for record in spooled(run, "metrics") if "val_error" in record["values"]]
    assert steps == [1078, 2156]
    assert [found.step for found in read_audit(audit_folder(run))] == list(range(34))


def test_a_worker_whose_marker_cannot_be_written_says_so_by_its_exit_code(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_context, "DurableEvents", partial(DurableEvents, pause=0.01, patience=0.05))
    run = new_run(tmp_path, tiny(train={"epochs": 1}))
    with full_disk(rundir_events):
        assert one_rank(run) == UNHEARD
    assert events(run, "rank_finished") == []


def test_a_leader_that_ends_after_the_last_step_leaves_its_summary_to_the_next_run(
    undisturbed: RunDirectory, tiny: Tiny, tmp_path: Path
) -> None:
    run = new_run(tmp_path, tiny())
    write_control(run, Control(1, 1, "run", 1, checkpoint=1))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch.object(work, "write_summary", side_effect=full):
        assert one_rank(run) == 1
    [marker] = events(run, "rank_finished")
    assert marker.data["failure_class"] == "infrastructure"
    assert [(e.data["samples"], e.data["asked"]) for e in events(run, "checkpoint")] == [(64, 1), (1078, 1), (2156, 1)]
    following = new_run(tmp_path, tiny(), number=2)
    assert one_rank(following, token=2) == 0
    assert summary(following) == summary(undisturbed)
    told = events(following, "progress")
    assert {(event.data["done"], event.data["best_label"]) for event in told} == {(2156, "val error")}
