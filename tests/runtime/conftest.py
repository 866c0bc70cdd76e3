"""A bench on which real agents run short programs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the fakes beside this file

from orchestrator.base.process import ProcessIdentity, processes_with_environment
from orchestrator.rundir.allocations import MARK, AllocationFiles
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import RunEvent, find_event, read_events
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.grant import GRANT
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory, RunDirectory

TOKEN = 3
PATIENCE = 30.0


@dataclass
class Bench:
    """One run in a run directory of its own, and the agents that were started for it."""

    root: Path
    job: str = "job-bench"
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def run(self) -> RunDirectory:
        return JobDirectory.under(self.root, self.job).run(f"{self.job}-r1")

    @property
    def allocation(self) -> str:
        """Unique on the machine, so that tests that run at once do not see each other's processes."""
        return self.allocation_of(0)

    def allocation_of(self, index: int) -> str:
        return f"{self.job}-{os.getpid()}-{abs(hash(self.root)) % 10**9}.{index}"

    @property
    def files(self) -> AllocationFiles:
        return self.files_of(0)

    def files_of(self, index: int) -> AllocationFiles:
        return AllocationFiles(self.run, self.allocation_of(index))

    def prepare(self, argv: list[str], **changes: object) -> Launch:
        self.run.job.create()
        self.run.create()
        raise_fence(self.run.job, TOKEN)
        values = {"workers": 1, "workdir": str(self.root)} | changes
        launch = Launch(job=self.job, run=self.run.run, token=TOKEN, argv=tuple(argv), **values)  # type: ignore[arg-type]
        write_launch(self.run, launch)
        return launch

    def start(
        self, grant: str = "{}", environment: Mapping[str, str] | None = None, *, index: int = 0
    ) -> subprocess.Popen[bytes]:
        files = self.files_of(index)
        command = [sys.executable, "-P", "-m", "orchestrator.runtime.agent", str(self.run.path), files.allocation]
        with files.log.open("ab") as log:
            agent = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=dict(os.environ) | {GRANT: grant} | dict(environment or {}),
            )
        self.agents.append(agent)
        return agent

    def execute(self, argv: list[str], **changes: object) -> RunEvent:
        """Run to the end; the `finished` event."""
        self.prepare(argv, **changes)
        self.start().wait(PATIENCE)
        return self.event("finished")

    def event(self, kind: str) -> RunEvent:
        found = find_event(self.run, kind)
        assert found is not None, f"no event {kind}; agent log:\n{self.files.log.read_text()}"
        return found

    def events(self, kind: str) -> list[RunEvent]:
        """In the order of their time."""
        return sorted((e for e in read_events(self.run, {}) if e.kind == kind), key=lambda e: e.time)

    def views(self) -> list[list[int]]:
        """The numbers of the members of each view that an agent told of."""
        return [[member["number"] for member in event.data["members"]] for event in self.events("resized")]

    def agent_logs(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.run.logs.glob("*.log")))

    def kinds(self) -> list[str]:
        return [event.kind for event in read_events(self.run, {})]

    def log(self, rank: int = 0) -> str:
        path = self.run.logs / f"rank-{rank}.log"
        return path.read_text() if path.exists() else ""

    def control(self, want: str, cause: str | None = "cancel", grace: float = 5.0, token: int = TOKEN) -> None:
        write_control(self.run, Control(1, token, want, 1, cause=cause, grace_seconds=grace))  # type: ignore[arg-type]

    def resize(self, workers: int) -> None:
        write_control(self.run, Control(1, TOKEN, "run", workers))

    def survivors(self, index: int = 0) -> list[ProcessIdentity]:
        return processes_with_environment(MARK, self.allocation_of(index))

    def agent_identity(self, index: int = 0) -> ProcessIdentity:
        def found() -> list[RunEvent]:
            return [e for e in self.events("agent_started") if e.writer == f"agent-{index}"]

        self.until(found)
        return ProcessIdentity.from_json(dict(found()[0].data))

    def pid_of(self, number: int) -> int:
        """The process of a worker, as the views tell of it."""
        members = [member for event in self.events("resized") for member in event.data["members"]]
        return int(next(member["pid"] for member in members if member["number"] == number))

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"never happened; {self.agent_logs()}"
            time.sleep(0.01)

    def clear(self) -> None:
        for agent in self.agents:
            if agent.poll() is None:
                agent.send_signal(signal.SIGUSR2)
                agent.wait(PATIENCE)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.clear()
