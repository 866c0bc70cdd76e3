"""This machine's engine passes the suite that every backend must pass."""

import time
from pathlib import Path

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.backends.protocol import Backend, LaunchRequest
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.profile import ClusterProfile, Node
from orchestrator.testing.backend_conformance import BackendConformance, Behaviour

COMMANDS: dict[Behaviour, tuple[str, ...]] = {
    "succeed": ("true",),
    "fail": ("sh", "-c", "exit 3"),
    "run": ("sleep", "600"),
    "stubborn": ("sh", "-c", "trap '' TERM; while :; do sleep 1; done"),
}


class LocalHarness:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._profile = ClusterProfile(name="two", backend="local", nodes=[Node(cpus=2, gpus=0)])
        self.backend: Backend = self.reopen()

    def reopen(self) -> LocalBackend:
        return LocalBackend(self._profile, state=self._root, slots=self._root / "slots")

    def request(self, name: str, behaviour: Behaviour) -> LaunchRequest:
        job = f"j-{name}"
        directory = JobDirectory.under(self._root, job).run(f"{job}-r1")
        directory.job.create()
        directory.create()
        raise_fence(directory.job, 1)
        launch = Launch(job, f"{job}-r1", 1, COMMANDS[behaviour], str(self._root), workers=1)
        write_launch(directory, launch)
        write_control(directory, Control(generation=1, token=1, want="run", world_size=1))
        return LaunchRequest(f"{job}-r1.0", directory, launch)

    def settle(self) -> None:
        time.sleep(0.02)


class TestLocalBackend(BackendConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> LocalHarness:
        return LocalHarness(tmp_path)
