"""What `plan` asks the queue of the server that runs, or of an empty cluster; against a fake service."""

from pathlib import Path

import pytest
from api_fakes import FakeService

from orchestrator.spec.profile import ClusterProfile, Limits

WORKLOAD = "name: hello\ncommand: [echo, hi]\nresources: {workers: 1..2}\n"


@pytest.fixture
def hello(tmp_path: Path) -> str:
    path = tmp_path / "w.yaml"
    path.write_text(WORKLOAD)
    return str(path)


@pytest.mark.usefixtures("live")
def test_plan_asks_the_queue_of_the_server_that_runs(cli, service: FakeService, hello: str) -> None:
    outcome = cli("plan", hello, "--workers", "1", "--workers", "2")
    assert outcome.code == 0
    (request,) = service.questions.requests
    assert (request.source, request.workers) == (WORKLOAD, [1, 2])
    assert "in the queue of cluster local (policy default):" in outcome.out
    assert "j-wait by 5m 00s" in outcome.out
    document = cli("plan", hello, "--json").document["data"]
    assert (document["name"], document["queue"]["live"], document["queue"]["position"]) == ("hello", True, 2)


@pytest.fixture
def lab(service: FakeService) -> None:
    """The server serves another cluster than the default."""
    service.profile = ClusterProfile(name="lab", backend="local", limits=Limits(max_workers=1))


@pytest.mark.usefixtures("lab", "live")
def test_plan_is_for_the_cluster_that_is_served(cli, service: FakeService, hello: str) -> None:
    outcome = cli("plan", hello, "--set", "resources.workers=2")
    assert outcome.code == 2
    assert "cluster lab allows 1 a job" in outcome.err
    assert cli("plan", hello, "--cluster", "lab").code == 0
    assert len(service.questions.requests) == 1
    other = cli("plan", hello, "--cluster", "local", "--json")
    assert "the server serves cluster lab, not local" in other.err
    assert other.document["data"]["queue"]["live"] is False


@pytest.mark.usefixtures("live")
def test_plan_offline_asks_nobody(cli, service: FakeService, hello: str) -> None:
    queue = cli("plan", hello, "--offline", "--json").document["data"]["queue"]
    assert (queue["live"], queue["options"][0]["waits"]) == (False, 0)
    assert service.questions.requests == []


@pytest.mark.usefixtures("offline")
def test_plan_without_a_server_answers_as_for_an_empty_cluster_and_starts_none(cli, offline: Path, hello: str) -> None:
    outcome = cli("plan", hello)
    assert outcome.code == 0
    assert "on cluster local while it is empty" in outcome.out
    assert not (offline / "server" / "server.json").exists()


@pytest.mark.usefixtures("offline")
def test_plan_goes_on_where_the_server_is_gone(cli, hello: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", "x")
    outcome = cli("plan", hello, "--json")
    assert outcome.document["data"]["queue"]["live"] is False
    assert "the queue was not asked" in outcome.err


@pytest.mark.parametrize("workers", ["0", "-1", "x"])
def test_plan_refuses_impossible_widths(cli, offline: Path, hello: str, workers: str) -> None:
    assert cli("plan", hello, "--workers", workers).code == 2
