"""One worker of Ray Train, in this process: what Ray Train gives it is played by functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ranks import events, new_run, one_rank, spooled, summary, until

from orchestrator.base.errors import Fenced, TimedOut
from orchestrator.raytrain import worker
from orchestrator.raytrain.drains import Drains
from orchestrator.raytrain.place import Attempt
from orchestrator.raytrain.task import STOP_FILE, WorkerTask, failure_told, meeting_folder
from orchestrator.raytrain.worker import work
from orchestrator.recipes.ending import Ending
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.layout import RunDirectory
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.group import GroupBroken

MakeWorkload = Callable[..., RegNetWorkload]


def worked(run: RunDirectory, attempt: Attempt, *, preempted: Callable[[], bool] = lambda: False) -> Ending:
    task = WorkerTask(str(run.path), 1, "/", 300.0)
    return work(task, attempt, "127.0.0.1", Drains(preempted, lambda value: value), lambda value: value)


def count(run: RunDirectory) -> Attempt:
    return Attempt.join(meeting_folder(run), 0, 1, lambda value: value)


def trains(run: RunDirectory) -> bool:
    return bool(events(run, "progress"))


def test_a_node_that_is_to_be_taken_away_is_left_with_a_checkpoint_and_the_next_workers_go_on_to_the_same_bits(
    tiny: MakeWorkload, tmp_path: Path
) -> None:
    undisturbed = new_run(tmp_path / "own", tiny())
    assert one_rank(undisturbed) == 0
    run = new_run(tmp_path / "ray", tiny(elastic={"engine": "ray_train"}))
    left = worked(run, count(run), preempted=lambda: trains(run))
    assert (left.outcome, trains(run)) == ("left", True)
    [kept] = events(run, "checkpoint")
    assert not spooled(run, "end")
    assert not events(run, "resized")

    ended = worked(run, count(run))
    assert ended.outcome == "succeeded"
    assert summary(run) == summary(undisturbed)
    assert [event.data["cause"] for event in events(run, "resized")] == ["taken"]
    assert {event.writer: event.data["outcome"] for event in events(run, "rank_finished")} == {
        "rank-1000": "left",
        "rank-2000": "succeeded",
    }
    first, *_ = [event for event in events(run, "progress") if event.writer == "rank-2000"]
    assert first.data["samples"] == kept.data["samples"]
    assert [record["status"] for record in spooled(run, "end")] == ["finished"]


@pytest.mark.parametrize("by_driver", [True, False])
def test_a_stop_by_the_driver_or_by_the_controller_ends_it_with_a_checkpoint(
    tiny: MakeWorkload, tmp_path: Path, by_driver: bool
) -> None:
    run = new_run(tmp_path, tiny(train={"epochs": 500}, elastic={"engine": "ray_train"}))

    def ask() -> None:
        until(lambda: trains(run))
        if by_driver:
            (meeting_folder(run) / STOP_FILE).touch()
        else:
            write_control(run, Control(1, 1, "stop", 1, cause="cancel"))

    asking = threading.Thread(target=ask)
    asking.start()
    ending = worked(run, count(run))
    asking.join()
    assert (ending.outcome, failure_told(run)) == ("stopped", None)
    assert events(run, "checkpoint")


def test_what_no_start_mends_is_told_to_the_driver(tiny: MakeWorkload, tmp_path: Path) -> None:
    run = new_run(tmp_path, tiny(data={"dataset": str(tmp_path / "nowhere")}, elastic={"engine": "ray_train"}))
    ending = worked(run, count(run))
    assert (ending.outcome, ending.failure_class) == ("failed", "permanent")
    assert failure_told(run) == ending


def test_a_worker_that_loses_others_says_nothing_against_itself(tiny: MakeWorkload, tmp_path: Path) -> None:
    run = new_run(tmp_path, tiny(elastic={"engine": "ray_train"}))
    meeting_folder(run).mkdir()

    def gone(value: object) -> object:
        raise GroupBroken("a worker was lost", hint="")

    task = WorkerTask(str(run.path), 1, "/", 300.0)
    with pytest.raises(GroupBroken):
        work(task, Attempt(1, 0, 2), "127.0.0.1", Drains(lambda: False, gone), gone)
    assert failure_told(run) is None
    assert [event.data["outcome"] for event in events(run, "rank_finished")] == ["left"]


@pytest.mark.parametrize(("error", "anew"), [(TimedOut("the store is slow"), True), (Fenced("older"), False)])
def test_what_a_new_start_may_mend_is_left_to_ray_train(
    tiny: MakeWorkload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, anew: bool
) -> None:
    run = new_run(tmp_path, tiny(elastic={"engine": "ray_train"}))

    def fails(*asked: object, **more: object) -> Ending:
        raise error

    monkeypatch.setattr(worker, "train_as_worker", fails)
    if anew:
        with pytest.raises(TimedOut):
            worked(run, count(run))
    else:
        assert worked(run, count(run)).failure_class == "infrastructure"
    assert (failure_told(run) is None) == anew
    assert [event.data["outcome"] for event in events(run, "rank_finished")] == ["left" if anew else "failed"]
