"""What `orchestrator logs` shows of runs with several workers, and of those that started none."""

from pathlib import Path

import pytest
from api_fakes import FakeService

from orchestrator.base.errors import NotFound
from orchestrator.spec.messages import LogFile

pytestmark = pytest.mark.usefixtures("live")


def test_the_logs_of_other_workers_are_named_where_they_wrote_any(cli, service: FakeService) -> None:
    service.add("j-a")
    for rank in range(3):
        service.log("j-a", f"rank-{rank}.log", b"" if rank == 1 else f"{rank}\n".encode())
    outcome = cli("logs", "j-a")
    assert outcome.out == "0\n"
    assert "this is rank-0.log of j-a-r1; another worker has a log of its own" in outcome.err
    assert "orchestrator logs j-a --rank N, N being 2" in outcome.err
    assert "--rank N" not in cli("logs", "j-a", "--rank", "2").err


def test_where_no_worker_was_started_the_agent_tells_why(cli, service: FakeService) -> None:
    service.add("j-a", state="failed")
    service.log("j-a", "agent-0.log", b"module: command not found\n")
    outcome = cli("logs", "j-a")
    assert outcome.out == "module: command not found\n"
    assert "no worker of j-a-r1 was started; this is agent-0.log" in outcome.err
    assert "--rank" not in outcome.err


def test_a_watched_job_whose_logs_somebody_removed_fails_as_any_other(
    cli, service: FakeService, workload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(job: str) -> list[LogFile]:
        raise NotFound(f"the directory of {job} is gone")

    monkeypatch.setattr(service, "logs", gone)
    service.default_script = ["failed"]
    outcome = cli("submit", workload, "--watch")
    assert outcome.code == 1
    assert "j-00000000 failed" in outcome.err
    assert "orchestrator why j-00000000" in outcome.err
