"""The driver, with a Ray Train that is played by functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from orchestrator.raytrain.driver import drive
from orchestrator.raytrain.task import STOP_FILE, meeting_folder, tell_of_failure
from orchestrator.recipes.ending import Ending
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.runtime.context import StopRequest
from orchestrator.runtime.markers import WorkerOutcome


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    job = JobDirectory.under(tmp_path, "job-a")
    job.create()
    job.run("job-a-r1").create()
    return job.run("job-a-r1")


def never() -> StopRequest | None:
    return None


def test_workers_that_leave_a_node_are_followed_by_others(run: RunDirectory) -> None:
    outcomes: Iterator[WorkerOutcome] = iter(["left", "left", "succeeded"])

    def fit() -> Mapping[str, Any]:
        return asdict(Ending(next(outcomes), "by hand"))

    assert drive(run, fit, never) == Ending("succeeded", "by hand")


def test_a_failure_that_a_worker_has_told_of_ends_the_run_at_once(run: RunDirectory) -> None:
    released = threading.Event()

    def fit() -> Mapping[str, Any]:
        tell_of_failure(run, 1001, Ending("failed", "no such dataset", "data"))
        released.wait(60)
        return {}

    assert drive(run, fit, never) == Ending("failed", "no such dataset", "data")
    released.set()


def test_a_stop_reaches_the_workers_and_is_not_waited_for_beyond_the_grace(run: RunDirectory) -> None:
    stop = meeting_folder(run) / STOP_FILE
    released = threading.Event()

    def stopping(grace: float) -> Callable[[], StopRequest | None]:
        looks = iter([None])  # it begins before it is asked to stop
        return lambda: next(looks, StopRequest("cancel", grace))

    def answers() -> Mapping[str, Any]:
        while not stop.exists():
            released.wait(0.01)
        return asdict(Ending("stopped", "with a checkpoint"))

    def is_silent() -> Mapping[str, Any]:
        released.wait(60)
        return {}

    assert drive(run, answers, stopping(60.0)).message == "with a checkpoint"
    assert drive(run, is_silent, stopping(0.1)).message == "stopped; its workers did not answer in time"
    released.set()


@pytest.mark.parametrize(
    ("words", "found"),
    [("a worker was lost 11 times", "infrastructure"), ("killed due to memory pressure", "out_of_memory")],
)
def test_a_ray_train_that_gives_up_says_nothing_against_the_training(run: RunDirectory, words: str, found: str) -> None:
    def fit() -> Mapping[str, Any]:
        raise RuntimeError(words)

    ending = drive(run, fit, never)
    assert (ending.outcome, ending.failure_class) == ("failed", found)
    assert words in ending.message
