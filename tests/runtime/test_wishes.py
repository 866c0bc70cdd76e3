"""What an agent reads of the controller's wishes."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.launch import Launch
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.runtime.wishes import Wishes


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = JobDirectory.under(tmp_path, "j").run("j-r1")
    directory.create()
    return directory


def wishes(run: RunDirectory) -> Wishes:
    launch = Launch("j", "j-r1", 3, ("true",), "/", 2, elastic=True)
    return Wishes(AllocationFiles(run, "j-r1.0"), launch, os.getppid(), None)


def test_the_wanted_workers_are_read_anew_when_the_file_changes(run: RunDirectory) -> None:
    found = wishes(run)
    assert found.workers() is None
    for workers in (2, 4):
        write_control(run, Control(1, 3, "run", workers))
        assert found.workers() == workers


def test_workers_wanted_of_another_run_are_not_meant(run: RunDirectory) -> None:
    write_control(run, Control(1, 99, "run", 4))
    assert wishes(run).workers() is None


@pytest.mark.parametrize("size", ["many", None, -3, True, 1.5])
def test_a_number_of_workers_that_is_none_is_passed_over(run: RunDirectory, size: Any) -> None:
    write_control(run, Control(1, 3, "run", size))
    assert wishes(run).workers() is None


def test_a_stop_of_the_run_is_told_apart_from_one_of_the_allocation(run: RunDirectory) -> None:
    found = wishes(run)
    own = found.look({signal.SIGTERM})
    assert own is not None
    assert not own.whole
    write_control(run, Control(1, 3, "stop", 2, cause="cancel"))
    whole = found.look({signal.SIGTERM})
    assert whole is not None
    assert (whole.whole, whole.cause) == (True, "cancel")
