"""What a shell is offered: commands, jobs of a server that runs, folders and YAML files."""

from pathlib import Path

import pytest
from api_fakes import FakeService

from orchestrator.cli.main import run


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    def call(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_ORCHESTRATOR_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit):
            run([])
        return [entry.partition(",")[2] for entry in capfd.readouterr().out.splitlines() if entry]

    return call


def test_commands_are_offered_by_their_beginning(complete) -> None:
    assert complete("orchestrator st") == ["status"]
    assert complete("orchestrator data v") == ["verify"]


@pytest.mark.usefixtures("live")
def test_jobs_are_offered_from_the_server(complete, service: FakeService) -> None:
    service.add("j-abc")
    service.add("j-xyz")
    assert complete("orchestrator status j-a") == ["j-abc"]
    assert complete("orchestrator logs -f ") == ["j-abc", "j-xyz"]


def test_without_a_server_no_job_is_offered_and_none_is_started(complete, offline: Path) -> None:
    assert complete("orchestrator status j") == []
    assert not (offline / "server").exists()


def test_a_server_that_is_gone_offers_nothing(complete, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", "x")
    assert complete("orchestrator status j") == []


def test_workloads_are_offered_as_folders_and_yaml_files(
    complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workloads").mkdir()
    for name in ("workloads/a.yaml", "workloads/notes.txt", "workloads/b.yml", "w.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert complete("orchestrator submit w") == ["w.yaml", "workloads/"]
    assert complete("orchestrator plan workloads/") == ["workloads/a.yaml", "workloads/b.yml"]
