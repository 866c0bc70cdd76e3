"""What every backend must do, as tests: subclass `BackendConformance` and give it a `harness` fixture.

class TestMyBackend(BackendConformance):
    @pytest.fixture
    def harness(self, tmp_path): ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from orchestrator.backends.protocol import AllocationState, Backend, LaunchRequest
from orchestrator.rundir.events import find_event, read_events

Behaviour = Literal["succeed", "fail", "run", "stubborn"]

LOOKS = 600
"""How often a state is waited for; `settle` passes a little time between two looks."""


class Harness(Protocol):
    """What the suite needs of a backend's author. All slots must be free when a test begins."""

    @property
    def backend(self) -> Backend:
        """The backend under test, with at least 2 slots."""
        ...

    def request(self, name: str, behaviour: Behaviour) -> LaunchRequest:
        """A request with its run directory written (launch.json, control.json, fence): one worker, one slot.

        It ends at once with success, or with exit code 3, or runs until it is stopped, or until it is killed.
        """
        ...

    def reopen(self) -> Backend:
        """Another object for the same engine, as after a restart of the server."""
        ...

    def settle(self) -> None:
        """Let a little time pass (0.05 s where the engine is real)."""
        ...


class BackendConformance:
    """The suite."""

    def test_what_was_never_launched_is_absent(self, harness: Harness) -> None:
        """Not an error: the controller asks this after a crash."""
        assert _state(harness, "j-none-r1.0") is AllocationState.ABSENT

    def test_a_dry_run_changes_nothing(self, harness: Harness) -> None:
        """`plan` only tells."""
        request = harness.request("plan", "run")
        assert harness.backend.plan(request).slots == 1
        assert list(harness.backend.list()) == []
        assert _state(harness, request.allocation) is AllocationState.ABSENT

    def test_a_launched_allocation_runs_and_is_listed(self, harness: Harness) -> None:
        """It is found by the identifier that it was given."""
        request = _running(harness, "listed")
        assert request.allocation in harness.backend.list()
        _kill(harness, request)

    def test_a_running_allocation_takes_its_slots_and_gives_them_back(self, harness: Harness) -> None:
        """So that the scheduler can count."""
        before = harness.backend.capacity().free
        request = _running(harness, "slots")
        _until(harness, lambda: harness.backend.capacity().free == before - 1, "the slot is taken")
        _kill(harness, request)
        _until(harness, lambda: harness.backend.capacity().free == before, "the slot is free")

    def test_its_nodes_make_up_the_whole(self, harness: Harness) -> None:
        """What it says of each node adds up to what it says of all."""
        request = _running(harness, "nodes")
        found = harness.backend.capacity()
        assert (sum(n.slots for n in found.nodes), sum(n.free for n in found.nodes)) == (found.slots, found.free)
        assert len({node.name for node in found.nodes}) == len(found.nodes) > 0
        assert all(node.up for node in found.nodes)
        _kill(harness, request)

    def test_a_second_launch_starts_nothing_more(self, harness: Harness) -> None:
        """The controller launches again where it does not know the answer."""
        request = _running(harness, "twice")
        harness.backend.launch(request)
        for _ in range(5):
            harness.settle()
        assert [e.kind for e in read_events(request.directory, {})].count("agent_started") == 1
        assert list(harness.backend.list()) == [request.allocation]
        _kill(harness, request)

    def test_a_launch_after_the_end_starts_nothing(self, harness: Harness) -> None:
        """An allocation is used once."""
        request = harness.request("again", "succeed")
        harness.backend.launch(request)
        _ended(harness, request)
        harness.backend.launch(request)
        for _ in range(5):
            harness.settle()
        assert _state(harness, request.allocation) in {AllocationState.ENDED, AllocationState.ABSENT}
        assert [e.kind for e in read_events(request.directory, {})].count("finished") == 1

    def test_success_is_a_durable_marker(self, harness: Harness) -> None:
        """And an ended allocation is not listed any more."""
        request = harness.request("good", "succeed")
        harness.backend.launch(request)
        _ended(harness, request)
        assert _outcome(request) == "succeeded"
        assert list(harness.backend.list()) == []

    def test_failure_is_a_durable_marker(self, harness: Harness) -> None:
        """With a class."""
        request = harness.request("bad", "fail")
        harness.backend.launch(request)
        _ended(harness, request)
        marker = find_event(request.directory, "finished")
        assert marker is not None
        assert (marker.data["outcome"], marker.data["failure_class"]) == ("failed", "application")

    def test_stop_ends_a_run_that_listens(self, harness: Harness) -> None:
        """Asked twice, it stops once."""
        request = _running(harness, "stop")
        harness.backend.stop(request.allocation, grace_seconds=20)
        harness.backend.stop(request.allocation, grace_seconds=20)
        _ended(harness, request)
        assert _outcome(request) == "stopped"

    def test_kill_ends_a_run_that_does_not_listen(self, harness: Harness) -> None:
        """And its slots are free."""
        before = harness.backend.capacity().free
        request = _running(harness, "kill", "stubborn")
        harness.backend.stop(request.allocation, grace_seconds=60)
        harness.settle()
        _kill(harness, request)
        _until(harness, lambda: harness.backend.capacity().free == before, "the slot is free")

    def test_stop_and_kill_of_what_is_not_there_do_no_harm(self, harness: Harness) -> None:
        """The controller repeats them."""
        request = harness.request("gone", "succeed")
        harness.backend.launch(request)
        _ended(harness, request)
        for allocation in (request.allocation, "j-none-r1.0"):
            harness.backend.stop(allocation, grace_seconds=1)
            harness.backend.kill(allocation)
        assert _outcome(request) == "succeeded"

    def test_a_batch_answers_for_each_allocation_asked(self, harness: Harness) -> None:
        """One look for all, the unknown included."""
        request = _running(harness, "batch")
        seen = harness.backend.observe([request.allocation, "j-none-r1.0"])
        assert set(seen) == {request.allocation, "j-none-r1.0"}
        assert seen["j-none-r1.0"].state is AllocationState.ABSENT
        _kill(harness, request)

    def test_another_server_adopts_what_runs(self, harness: Harness) -> None:
        """The engine's memory is not in the server."""
        request = _running(harness, "adopt")
        harness.backend.close()
        adopted = harness.reopen()
        assert adopted.observe([request.allocation])[request.allocation].state is AllocationState.RUNNING
        assert list(adopted.list()) == [request.allocation]
        adopted.kill(request.allocation)
        _until(harness, lambda: list(adopted.list()) == [], "it is gone")


def _running(harness: Harness, name: str, behaviour: Behaviour = "run") -> LaunchRequest:
    request = harness.request(name, behaviour)
    harness.backend.launch(request)
    _until(harness, lambda: _state(harness, request.allocation) is AllocationState.RUNNING, f"{name} runs")
    _until(harness, lambda: find_event(request.directory, "started") is not None, f"{name} says so")
    harness.settle()
    return request


def _kill(harness: Harness, request: LaunchRequest) -> None:
    harness.backend.kill(request.allocation)
    _ended(harness, request)


def _ended(harness: Harness, request: LaunchRequest) -> None:
    over = {AllocationState.ENDED, AllocationState.ABSENT}
    _until(harness, lambda: _state(harness, request.allocation) in over, f"{request.allocation} is over")


def _until(harness: Harness, holds: Callable[[], bool], what: str) -> None:
    for _ in range(LOOKS):
        if holds():
            return
        harness.settle()
    raise AssertionError(f"waited in vain: {what}")


def _state(harness: Harness, allocation: str) -> AllocationState:
    return harness.backend.observe([allocation])[allocation].state


def _outcome(request: LaunchRequest) -> str | None:
    marker = find_event(request.directory, "finished")
    return None if marker is None else str(marker.data["outcome"])
