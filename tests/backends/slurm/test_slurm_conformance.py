"""A real Slurm passes the suite that every backend must pass."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.protocol import LaunchRequest
from orchestrator.backends.slurm import SlurmBackend
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.profile import ClusterProfile
from orchestrator.testing.backend_conformance import BackendConformance, Behaviour

pytestmark = pytest.mark.slurm

COMMANDS: dict[Behaviour, tuple[str, ...]] = {
    "succeed": ("true",),
    "fail": ("sh", "-c", "exit 3"),
    "run": ("sleep", "600"),
    "stubborn": ("sh", "-c", "trap '' TERM; while :; do sleep 1; done"),
}
PROFILE = {"name": "dev", "backend": "slurm", "slurm": {"look_every": 0.2}}


class SlurmHarness:
    """A server on a cluster where nothing else runs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: list[SlurmBackend] = []
        self.backend = self.reopen()

    def reopen(self) -> SlurmBackend:
        self._opened.append(SlurmBackend(ClusterProfile.model_validate(PROFILE), state=self._root / "state"))
        return self._opened[-1]

    def request(self, name: str, behaviour: Behaviour) -> LaunchRequest:
        job = f"j-{name}"
        directory = JobDirectory.under(self._root, job).run(f"{job}-r1")
        directory.job.create()
        directory.create()
        raise_fence(directory.job, 1)
        launch = Launch(job, f"{job}-r1", 1, COMMANDS[behaviour], str(self._root), workers=1, gpus_per_worker=1)
        write_launch(directory, launch)
        write_control(directory, Control(generation=1, token=1, want="run", world_size=1))
        return LaunchRequest(f"{job}-r1.0", directory, launch)

    def settle(self) -> None:
        time.sleep(0.05)

    def close(self) -> None:
        for backend in self._opened:
            backend.close()


class TestSlurmBackend(BackendConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path, slurm: Any) -> Iterator[SlurmHarness]:
        del slurm  # it says by SLURM_CONF which cluster is meant
        made = SlurmHarness(tmp_path)
        yield made
        made.close()
