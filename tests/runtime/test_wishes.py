"""What an agent reads of the controller's wishes."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.runtime.wishes import Wishes


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = JobDirectory.under(tmp_path, "j").run("j-r1")
    directory.create()
    return directory


def wishes(run: RunDirectory, allocation: str = "j-r1.0", grant: Grant | None = None) -> Wishes:
    launch = Launch("j", "j-r1", 3, ("true",), "/", 2, elastic=True)
    return Wishes(AllocationFiles(run, allocation), launch, os.getppid(), grant)


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


def test_a_note_to_stop_is_found_without_a_signal_and_tells_why(run: RunDirectory) -> None:
    found = wishes(run)
    assert found.look(set()) is None
    AllocationFiles(run, "j-r1.0").request_stop(7.0, "time_limit")
    ending = found.look(set())
    assert ending is not None
    assert (ending.kind, ending.cause, ending.grace_seconds, ending.whole) == ("stop", "time_limit", 7.0, False)
    assert found.look(set()) is None, "once"


@pytest.mark.parametrize("backend_first", [True, False])
def test_of_the_notes_of_a_backend_and_of_a_batch_step_the_less_time_counts(
    run: RunDirectory, backend_first: bool
) -> None:
    files, found = AllocationFiles(run, "j-r1.0"), wishes(run)
    asks = [lambda: files.request_stop(60.0), lambda: files.request_stop(7.0, "preempt")]
    for ask in asks if backend_first else reversed(asks):
        ask()
    ending = found.look(set())
    assert ending is not None
    assert (ending.cause, ending.grace_seconds) == ("preempt", 7.0)


def test_a_note_to_an_allocation_reaches_the_agents_of_all_its_nodes(run: RunDirectory) -> None:
    found = wishes(run, "j-r1.2", Grant(node="n3", nodes=3, place=2))
    AllocationFiles(run, "j-r1.1").request_stop(7.0, "preempt")
    assert found.look(set()) is None, "that one is another agent's"
    AllocationFiles(run, "j-r1.0").request_stop(7.0, "preempt")
    ending = found.look(set())
    assert ending is not None
    assert ending.cause == "preempt"


@pytest.mark.parametrize(("node", "cause"), [("", "drain"), ("n1", "taken")])
def test_a_signal_without_a_note_leaves_the_time_that_was_granted(run: RunDirectory, node: str, cause: str) -> None:
    ending = wishes(run, grant=Grant(node=node, notice=3.0)).look({signal.SIGTERM})
    assert ending is not None
    assert (ending.cause, ending.grace_seconds) == (cause, 3.0)


def test_a_run_whose_own_time_is_over_has_the_time_to_save_that_lies_before_the_engines_limit(
    run: RunDirectory,
) -> None:
    ending = wishes(run, grant=Grant(time_limit=0.0, notice=3.0, grace=60.0)).look(set())
    assert ending is not None
    assert (ending.cause, ending.grace_seconds) == ("time_limit", 60.0)


def test_a_signal_that_comes_with_a_note_is_no_word_of_the_engine(run: RunDirectory) -> None:
    found = wishes(run, grant=Grant(node="n1"))
    AllocationFiles(run, "j-r1.0").request_stop(4.0)
    ending = found.look({signal.SIGTERM})
    assert ending is not None
    assert (ending.cause, ending.grace_seconds) == ("drain", 4.0)
