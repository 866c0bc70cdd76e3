"""This machine as an engine."""

import signal
import subprocess
import sys
from typing import Any

import pytest

from orchestrator.backends.local import backend as backend_module
from orchestrator.backends.local import records as records_module
from orchestrator.backends.protocol import AllocationState
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import find_event, read_events

RUNNING, ENDED, ABSENT = AllocationState.RUNNING, AllocationState.ENDED, AllocationState.ABSENT


def sleeper(engine: Any, **changes: Any) -> Any:
    return engine.request(["/bin/sh", "-c", "echo ready; sleep 600"], **changes)


def agent_of(request: Any) -> ProcessIdentity:
    event = find_event(request.directory, "agent_started")
    assert event is not None
    return ProcessIdentity.from_json(dict(event.data))


def test_a_dry_run_shows_the_command_and_changes_nothing(engine: Any) -> None:
    request = engine.request(["/bin/true"], workers=2, cpus_per_worker=2)
    before = sorted(engine.root.rglob("*"))
    plan = engine.server().plan(request)
    assert plan.argv[-3:] == ("orchestrator.runtime.agent", str(request.directory.path), request.allocation)
    assert plan.slots == 4
    assert sorted(engine.root.rglob("*")) == before


def test_an_allocation_runs_and_ends(engine: Any) -> None:
    backend, request = engine.server(), sleeper(engine)
    assert backend.observe([request.allocation])[request.allocation].state is ABSENT
    backend.launch(request)
    engine.until(backend, request, RUNNING)
    engine.wait_for(lambda: engine.log(request) == "ready\n")
    assert backend.list() == [request.allocation]
    backend.stop(request.allocation, grace_seconds=5)
    assert engine.until(backend, request, ENDED).failure_class is None
    assert backend.list() == []
    assert backend.observe([request.allocation])[request.allocation].state is ENDED


def test_a_program_that_ignores_a_stop_is_killed_after_the_grace_time(engine: Any) -> None:
    backend = engine.server()
    request = engine.request(["/bin/sh", "-c", "trap '' TERM; echo ready; sleep 600 & wait; wait"])
    backend.launch(request)
    engine.wait_for(lambda: engine.log(request) == "ready\n")
    backend.stop(request.allocation, grace_seconds=0.2)
    engine.until(backend, request, ENDED)
    assert engine.survivors(request) == []


def test_a_kill_frees_the_slots_and_leaves_nothing(engine: Any) -> None:
    backend, request = engine.server(), sleeper(engine, workers=3)
    backend.launch(request)
    engine.until(backend, request, RUNNING)
    assert backend.capacity().free == 1
    backend.kill(request.allocation)
    assert engine.until(backend, request, ENDED).failure_class == "infrastructure"
    assert engine.survivors(request) == []
    assert backend.capacity().free == 4


def test_a_kill_works_where_agent_and_guard_are_frozen(engine: Any) -> None:
    backend, request = engine.server(), sleeper(engine)
    backend.launch(request)
    engine.wait_for(lambda: engine.log(request) == "ready\n")
    agent_of(request).send(signal.SIGSTOP)
    backend._records.find(request.allocation).files.read_claim().guard.send(signal.SIGSTOP)
    backend.kill(request.allocation)
    assert engine.until(backend, request, ENDED).failure_class == "infrastructure"
    assert engine.survivors(request) == []


def test_an_agent_that_is_killed_has_ended_for_reasons_of_the_infrastructure(engine: Any) -> None:
    backend, request = engine.server(), sleeper(engine)
    backend.launch(request)
    engine.wait_for(lambda: find_event(request.directory, "started"))
    agent_of(request).send(signal.SIGKILL)
    assert engine.until(backend, request, ENDED).failure_class == "infrastructure"
    assert engine.survivors(request) == []


def test_agent_and_guard_killed_at_once_leave_no_daemon_behind_the_end(engine: Any) -> None:
    backend = engine.server()
    request = engine.request(["/bin/sh", "-c", "setsid sleep 600 & echo ready; wait"])
    backend.launch(request)
    engine.wait_for(lambda: engine.log(request) == "ready\n")
    claim = backend._records.find(request.allocation).files.read_claim()
    claim.guard.send(signal.SIGSTOP)
    agent_of(request).send(signal.SIGKILL)
    claim.guard.send(signal.SIGKILL)
    assert engine.until(backend, request, ENDED).failure_class == "infrastructure"
    assert engine.survivors(request) == []


def test_a_second_launch_starts_nothing_more(engine: Any) -> None:
    backend = engine.server()
    request = engine.request(["/bin/sh", "-c", "echo once; sleep 0.3"])
    for _ in range(3):
        backend.launch(request)
    engine.server().launch(request)
    engine.until(backend, request, ENDED)
    backend.launch(request)
    assert engine.log(request) == "once\n"


def test_a_restarted_server_in_another_process_adopts_what_runs(engine: Any) -> None:
    request = engine.request(["/bin/sh", "-c", "echo ready; while [ ! -e go ]; do sleep 0.02; done"])
    program = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.backends.local import LocalBackend\n"
        "from orchestrator.backends.protocol import LaunchRequest\n"
        "from orchestrator.rundir.launch import read_launch\n"
        "from orchestrator.rundir.layout import RunDirectory\n"
        "from orchestrator.spec.profile import ClusterProfile, Node\n"
        "root, run = Path(sys.argv[1]), RunDirectory(Path(sys.argv[2]))\n"
        "profile = ClusterProfile(name='local', backend='local', nodes=[Node(cpus=4, gpus=0)])\n"
        "backend = LocalBackend(profile, state=root / 'state', slots=root / 'slots')\n"
        "backend.launch(LaunchRequest(sys.argv[3], run, read_launch(run)))\n"
    )
    arguments = [str(engine.root), str(request.directory.path), request.allocation]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    backend = engine.server()
    engine.until(backend, request, RUNNING)
    assert backend.list() == [request.allocation]
    assert backend.capacity().free == 3
    (engine.root / "go").touch()
    assert engine.until(backend, request, ENDED).failure_class is None
    assert engine.log(request) == "ready\n"


def test_a_crash_between_writing_down_and_starting_is_repaired_by_the_next_launch(engine: Any) -> None:
    backend, request = engine.server(), engine.request(["/bin/sh", "-c", "echo once"])
    backend._records.create(request.allocation, request.directory.path)
    assert backend.observe([request.allocation])[request.allocation].state is AllocationState.PENDING
    backend.launch(request)
    engine.until(backend, request, ENDED)
    assert engine.log(request) == "once\n"


def test_an_agent_that_dies_before_its_first_word_has_ended(engine: Any) -> None:
    backend, request = engine.server(), engine.request(["/bin/true"])
    request.directory.launch.unlink()
    backend.launch(request)
    seen = engine.until(backend, request, ENDED)
    assert seen.failure_class == "infrastructure"
    assert "did not start" in seen.detail


def test_an_allocation_that_was_killed_before_it_started_never_starts(engine: Any) -> None:
    backend, request = engine.server(), engine.request(["/bin/sh", "-c", "echo ran"])
    backend._records.create(request.allocation, request.directory.path)
    backend.kill(request.allocation)
    backend.launch(request)
    assert engine.until(backend, request, ENDED).detail == "called off before it started"
    assert not engine.log(request)


def test_a_cancel_through_the_run_directory_ends_as_stopped(engine: Any) -> None:
    backend, request = engine.server(), sleeper(engine)
    backend.launch(request)
    engine.until(backend, request, RUNNING)
    write_control(request.directory, Control(2, 1, "stop", 1, cause="cancel", grace_seconds=5))
    backend.stop(request.allocation, grace_seconds=5)
    engine.until(backend, request, ENDED)
    finished = find_event(request.directory, "finished")
    assert finished is not None
    assert (finished.data["outcome"], finished.data["cause"]) == ("stopped", "cancel")


def test_a_time_limit_ends_an_allocation(engine: Any) -> None:
    backend, request = engine.server(), sleeper(engine, time_limit=0.5)
    backend.launch(request)
    engine.until(backend, request, ENDED)
    finished = find_event(request.directory, "finished")
    assert finished is not None
    assert finished.data["failure_class"] == "time_limit"


def test_two_servers_on_one_machine_do_not_give_a_slot_away_twice(engine: Any) -> None:
    first, second = engine.server("state-a"), engine.server("state-b")
    first.launch(sleeper(engine, workers=3))
    assert second.capacity().free == 1
    request = sleeper(engine, workers=2)
    with pytest.raises(BackendUnavailable, match="only 1 of 4 are free"):
        second.launch(request)
    assert second.observe([request.allocation])[request.allocation].state is ABSENT


@pytest.mark.parametrize("changes", [{"workers": 5}, {"workers": 2, "cpus_per_worker": 3}, {"gpus_per_worker": 1}])
def test_what_the_machine_can_never_hold_is_refused(engine: Any, changes: dict[str, int]) -> None:
    with pytest.raises(LaunchRefused):
        engine.server().launch(engine.request(["/bin/true"], **changes))


@pytest.mark.parametrize("name", ["../x.0", "-x.0", "a\nb.0", "a;b.0", "", "a" * 300, "a\0b"])
def test_an_unsafe_identifier_is_refused_and_unknown(engine: Any, name: str) -> None:
    backend, request = engine.server(), engine.request(["/bin/true"])
    with pytest.raises(LaunchRefused):
        backend.launch(type(request)(name, request.directory, request.launch))
    assert backend.observe([name])[name].state is ABSENT
    backend.stop(name, grace_seconds=1)
    backend.kill(name)


def test_nothing_is_inherited_from_a_run_that_started_the_server(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ALLOCATION", "outer.0")
    monkeypatch.setenv("MASTER_PORT", "1")
    backend = engine.server()
    request = engine.request(["/bin/sh", "-c", "echo $ORCHESTRATOR_ALLOCATION $MASTER_PORT"])
    backend.launch(request)
    engine.until(backend, request, ENDED)
    allocation, port = engine.log(request).split()
    assert allocation == request.allocation
    assert port != "1"


def test_no_job_sees_the_token_or_anything_else_of_the_server(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "URL", "DEBUG", "ANYTHING", "STATE_DIR", "SLOTS_DIR", "TEST_DATA"):
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", "of-the-server")
    backend = engine.server()
    request = engine.request(["/bin/sh", "-c", "env; tr '\\0' '\\n' < /proc/$PPID/environ"])
    backend.launch(request)
    engine.until(backend, request, ENDED)
    shown = {line.partition("=")[0] for line in engine.log(request).splitlines() if "of-the-server" in line}
    assert shown == {"ORCHESTRATOR_STATE_DIR", "ORCHESTRATOR_SLOTS_DIR", "ORCHESTRATOR_TEST_DATA"}


def test_of_the_allocations_that_are_over_only_the_newest_are_kept(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (backend_module, records_module):
        monkeypatch.setattr(module, "KEPT", 2)
    backend, ended = engine.server(), engine.root / "state" / "local" / "allocations" / "ended"
    long = sleeper(engine)
    backend.launch(long)
    short = [engine.request(["/bin/true"]) for _ in range(3)]
    for request in short:
        backend.launch(request)
        engine.until(backend, request, ENDED)
    backend.kill(long.allocation)
    engine.until(backend, long, ENDED)
    newest = [short[-1].allocation, long.allocation]
    assert list(backend._over) == newest
    assert {path.stem for path in ended.iterdir()} == set(newest)
    assert backend.observe(newest)[long.allocation].state is ENDED
    backend.launch(short[0])  # it is forgotten, and still is not run twice
    assert engine.until(backend, short[0], ENDED).failure_class is None
    events = read_events(short[0].directory, {})
    assert [event.kind for event in events].count("started") == 1


def test_agents_that_have_ended_are_collected(engine: Any) -> None:
    backend, request = engine.server(), engine.request(["/bin/true"])
    backend.launch(request)
    child = backend._children[request.allocation]
    engine.until(backend, request, ENDED)
    engine.wait_for(lambda: backend.list() == [] and not backend._children)
    assert child.returncode == 0
