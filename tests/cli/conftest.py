"""A fake job service behind a real HTTP server on loopback, and the command line pointed at it."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from api_fakes import TOKENS, FakeService, make_app

from orchestrator.cli.main import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The envelope; stdout must hold nothing else."""
        found = json.loads(self.out)
        assert set(found) == {"schema", "data", "error"}
        assert found["schema"] == "v1"
        assert isinstance(found, dict)
        return found


Cli = Callable[..., Outcome]


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    return FakeService(tmp_path / "runs")


@pytest.fixture
def live(service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The fake service over HTTP, named by the environment; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(service), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("ORCHESTRATOR_URL", url)
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", TOKENS["admin"])
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    yield url
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No server is configured; the state directory is new."""
    monkeypatch.delenv("ORCHESTRATOR_URL", raising=False)
    monkeypatch.delenv("ORCHESTRATOR_TOKEN", raising=False)
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def call(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "hello.yaml"
    path.write_text("name: hello\ncommand: [echo, hi]\n")
    return path
