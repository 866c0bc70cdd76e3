"""The simulated engine passes the suite that every backend must pass."""

from pathlib import Path

import pytest

from orchestrator.backends.protocol import Backend, LaunchRequest
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.testing.backend import SimulatedBackend
from orchestrator.testing.backend_conformance import BackendConformance, Behaviour
from orchestrator.testing.clock import SequentialIds, SimulatedClock

SCRIPTS: dict[Behaviour, tuple[str, ...]] = {
    "succeed": ("start", "succeed"),
    "fail": ("start", "fail"),
    "run": ("start",),
    "stubborn": ("start", "stubborn"),
}


class SimulatedHarness:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._clock = SimulatedClock()
        self.backend: Backend = self.reopen()

    def reopen(self) -> SimulatedBackend:
        return SimulatedBackend(self._root / "engine.json", slots=2, clock=self._clock)

    def request(self, name: str, behaviour: Behaviour) -> LaunchRequest:
        job = f"j-{name}"
        directory = JobDirectory.under(self._root, job).run(f"{job}-r1")
        directory.job.create()
        directory.create()
        raise_fence(directory.job, 1)
        launch = Launch(job, f"{job}-r1", 1, SCRIPTS[behaviour], str(self._root), workers=1)
        write_launch(directory, launch)
        write_control(directory, Control(generation=1, token=1, want="run", world_size=1))
        return LaunchRequest(f"{job}-r1.0", directory, launch)

    def settle(self) -> None:
        self.reopen().tick()
        self._clock.advance(0.05)


class TestSimulatedBackend(BackendConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> SimulatedHarness:
        return SimulatedHarness(tmp_path)


def test_identifiers_count_up_and_the_clock_moves_only_when_told() -> None:
    ids, clock = SequentialIds(), SimulatedClock(100.0)
    assert [ids.new("j"), ids.new("j")] == ["j-00000001", "j-00000002"]
    clock.sleep(5)
    clock.jump(-50)
    assert (clock.now(), clock.monotonic()) == (55.0, 5.0)
