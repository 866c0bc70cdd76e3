"""An elastic run on this machine takes more slots while it runs, and gives them back."""

import signal
import sys
from pathlib import Path
from typing import Any

from orchestrator.backends.protocol import AllocationState
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import find_event, read_events

ARGV = [sys.executable, "-P", str(Path(__file__).parents[1] / "runtime" / "worker_script.py")]


def elastic(engine: Any, workers: int, **changes: Any) -> Any:
    folder = engine.root / f"work-{len(engine.requests)}"
    folder.mkdir()
    return engine.request(ARGV, workers=workers, elastic=True, workdir=str(folder), **changes)


def world(request: Any) -> int:
    sizes = [e.data["world_size"] for e in read_events(request.directory, {}) if e.kind == "resized"]
    return sizes[-1] if sizes else 0


def resize(request: Any, workers: int) -> None:
    write_control(request.directory, Control(2, 1, "run", workers))


def test_slots_are_taken_and_given_back_with_the_workers(engine: Any) -> None:
    backend, request = engine.server(), elastic(engine, 1)
    backend.launch(request)
    engine.wait_for(lambda: world(request) == 1)
    resize(request, 3)
    engine.wait_for(lambda: world(request) == 3)
    assert backend.capacity().free == 1
    resize(request, 2)
    engine.wait_for(lambda: world(request) == 2)
    engine.wait_for(lambda: backend.capacity().free == 2)
    (engine.root / "work-0" / "finish").touch()
    engine.until(backend, request, AllocationState.ENDED)
    finished = find_event(request.directory, "finished")
    assert finished is not None
    assert finished.data["outcome"] == "succeeded"
    assert backend.capacity().free == 4


def test_a_run_grows_as_far_as_there_is_room_and_further_when_others_leave(engine: Any) -> None:
    backend, request = engine.server(), elastic(engine, 1, cpus_per_worker=1)
    other = engine.request(["/bin/sh", "-c", "while [ ! -e go ]; do sleep 0.02; done"], workers=2)
    backend.launch(other)
    backend.launch(request)
    engine.wait_for(lambda: world(request) == 1)
    resize(request, 4)
    engine.wait_for(lambda: world(request) == 2)
    assert backend.capacity().free == 0
    (engine.root / "go").touch()
    engine.wait_for(lambda: world(request) == 4)


def test_no_more_slots_are_taken_than_workers_can_share_the_batch(engine: Any) -> None:
    backend, request = engine.server(), elastic(engine, 1, max_workers=2)
    backend.launch(request)
    engine.wait_for(lambda: world(request) == 1)
    resize(request, 4)
    engine.wait_for(lambda: world(request) == 2)
    assert backend.capacity().free == 2


def test_slots_that_were_taken_later_are_free_only_when_nothing_of_the_run_is_left(engine: Any) -> None:
    backend, request = engine.server(), elastic(engine, 1)
    backend.launch(request)
    engine.wait_for(lambda: world(request) == 1)
    resize(request, 2)
    engine.wait_for(lambda: world(request) == 2)
    started = find_event(request.directory, "agent_started")
    assert started is not None
    guard = backend._records.find(request.allocation).files.read_claim().guard
    guard.send(signal.SIGSTOP)
    ProcessIdentity.from_json(dict(started.data)).send(signal.SIGKILL)
    engine.wait_for(lambda: not engine.survivors(request) or backend.capacity().free == 2)
    assert backend.capacity().free == 2
    guard.send(signal.SIGCONT)
    engine.until(backend, request, AllocationState.ENDED)
    assert backend.capacity().free == 4
