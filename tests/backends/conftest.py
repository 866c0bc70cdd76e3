"""The local engine on four slots of its own, and requests for it."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.backends.protocol import AllocationState, LaunchRequest
from orchestrator.base.process import ProcessIdentity, processes_with_environment
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.profile import ClusterProfile, Node

PATIENCE = 30.0


@dataclass
class Engine:
    """A folder that holds the state and the runs of servers on one machine."""

    root: Path
    requests: list[LaunchRequest] = field(default_factory=list)

    def server(self, state: str = "state", cpus: int = 4) -> LocalBackend:
        """A backend as a server that has just started makes one."""
        profile = ClusterProfile(name="local", backend="local", nodes=[Node(cpus=cpus, gpus=0)])
        return LocalBackend(profile, state=self.root / state, slots=self.root / "slots")

    def request(self, argv: list[str], *, time_limit: float | None = None, **changes: Any) -> LaunchRequest:
        """Write down a new job with one run, as the controller does before it launches."""
        job = f"job-{len(self.requests)}"
        run = JobDirectory.under(self.root, job).run(f"{job}-{os.getpid()}-{abs(hash(self.root)) % 10**9}-r1")
        run.job.create()
        run.create()
        raise_fence(run.job, 1)
        values = {"workers": 1, "workdir": str(self.root)} | changes
        launch = Launch(job=job, run=run.run, token=1, argv=tuple(argv), **values)
        write_launch(run, launch)
        write_control(run, Control(1, 1, "run", launch.workers))
        request = LaunchRequest(f"{run.run}.0", run, launch, time_limit)
        self.requests.append(request)
        return request

    def until(self, backend: LocalBackend, request: LaunchRequest, state: AllocationState) -> Any:
        """Observe until it is in this state."""
        seen: list[Any] = []

        def reached() -> bool:
            seen[:] = [backend.observe([request.allocation])[request.allocation]]
            return bool(seen[0].state is state)

        wait_for(reached)
        return seen[0]

    def log(self, request: LaunchRequest, rank: int = 0) -> str:
        path = request.directory.logs / f"rank-{rank}.log"
        return path.read_text() if path.exists() else ""

    def survivors(self, request: LaunchRequest) -> list[ProcessIdentity]:
        return processes_with_environment(MARK, request.allocation)

    def wait_for(self, condition: Callable[[], object]) -> None:
        wait_for(condition)

    def clear(self) -> None:
        for request in self.requests:
            for state in [p.name for p in self.root.iterdir() if p.name.startswith("state")]:
                self.server(state).kill(request.allocation)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path)
    yield made
    made.clear()
