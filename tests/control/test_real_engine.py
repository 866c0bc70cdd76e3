"""The controller on this machine's own engine: real processes, real time."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.base.clock import RandomIds, SystemClock
from orchestrator.control.loop import Controller
from orchestrator.control.service import JobService
from orchestrator.spec.messages import SubmitRequest
from orchestrator.spec.profile import ClusterProfile, Node, Watch
from orchestrator.store.database import open_store


class Server:
    """One life of a server; its engine's processes outlive it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.open()

    def open(self) -> None:
        root = self._root
        profile = ClusterProfile(
            name="here",
            backend="local",
            nodes=[Node(cpus=1, gpus=0)],
            watch=Watch(poll=0.05, lost_after=30, cancel_grace=5),
        )
        self.backend = LocalBackend(profile, state=root, slots=root / "slots")
        self.store = open_store(root / "store.sqlite", clock=SystemClock())
        common = (SystemClock(), RandomIds(), root / "runs")
        self.service = JobService(self.store, profile, self.backend, *common, state_directory=root)
        self.controller = Controller(self.store, self.backend, profile, *common)

    def submit(self, command: str, **shell: str) -> str:
        source = f"name: real\ncommand: {command}\nretry: {{application: 0}}\n"
        request = SubmitRequest(source=source, workdir=str(self._root), environment=shell)
        return self.service.submit(request, "me").job.id

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, [(job.state, job.reason) for job in self.service.list()]
            time.sleep(min(0.05, self.controller.step()))

    def finish(self) -> None:
        self.until(lambda: self.service.open_jobs() == 0)

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    for job in server.service.list():
        if not job.terminal:
            server.service.cancel(job.id)
    server.finish()
    server.close()


def test_real_commands_succeed_and_fail(server: Server) -> None:
    good, bad = server.submit("[echo, hello]"), server.submit("exit 3")
    server.finish()
    assert (server.service.get(good).state, server.service.get(bad).state) == ("succeeded", "failed")
    assert "exit code 3" in server.service.get(bad).reason
    assert server.service.log_path(good, None, "rank-0.log").read_text() == "hello\n"


def test_a_real_run_is_adopted_by_the_next_server_and_ends_once(server: Server, tmp_path: Path) -> None:
    job = server.submit("while [ ! -e go ]; do sleep 0.05; done; echo once >> ends")
    server.until(lambda: server.service.get(job).state == "running")
    server.close()
    server.open()
    server.controller.step()
    assert server.service.get(job).state == "running"
    (tmp_path / "go").touch()
    server.finish()
    view = server.service.get(job)
    assert (view.state, len(view.runs)) == ("succeeded", 1)
    assert (tmp_path / "ends").read_text() == "once\n"


def test_a_real_run_is_cancelled_and_its_slot_is_free(server: Server) -> None:
    job = server.submit("[sleep, '600']")
    server.until(lambda: server.service.get(job).state == "running")
    server.service.cancel(job)
    server.finish()
    assert server.service.get(job).state == "cancelled"
    assert server.backend.capacity().free == 1


def test_a_command_finds_the_programs_of_its_submitter_and_a_retry_does_too(server: Server, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "mytool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n[ -e again ] && exit 0\nexit 3\n")
    tool.chmod(0o755)
    job = server.submit("[mytool]", PATH=f"{tool.parent}:/usr/bin:/bin")
    server.finish()
    assert "exit code 3" in server.service.get(job).reason
    (tmp_path / "again").touch()
    server.close()
    server.open()
    server.service.retry(job)
    server.finish()
    assert server.service.get(job).state == "succeeded"
