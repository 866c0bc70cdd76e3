"""The commands that need no server."""

import getpass
import json
import os
import sys
from pathlib import Path

import pytest

from orchestrator.cli import checks
from orchestrator.cli.commands import mlflow
from orchestrator.cli.connect import connect_to_running
from orchestrator.planning import recorded
from orchestrator.planning.content import content_digest
from orchestrator.planning.estimate import History
from orchestrator.scheduling.estimates.history import Finished

pytestmark = pytest.mark.usefixtures("offline")


def test_init_lays_out_what_people_edit(cli, tmp_path: Path) -> None:
    outcome = cli("init", tmp_path / "new")
    assert outcome.code == 0
    for name in ("workloads/regnet_sweep.yaml", "cluster/local.yaml", "datasets/digits.yaml"):
        assert (tmp_path / "new" / name).is_file()
    assert os.access(tmp_path / "new" / "cluster" / "slurm" / "dev-cluster", os.X_OK)


def test_init_keeps_what_is_there(cli, tmp_path: Path) -> None:
    kept = tmp_path / "cluster" / "local.yaml"
    kept.parent.mkdir()
    kept.write_text("mine")
    data = cli("init", tmp_path, "--json").document["data"]
    assert data["kept"] == [str(kept)]
    assert str(tmp_path / "workloads" / "command.yaml") in data["written"]
    assert kept.read_text() == "mine"


def test_init_where_nothing_can_be_written_is_a_usage_error(cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cli("init", tmp_path / "file" / "below").code == 2


@pytest.mark.parametrize("kind", ["workload", "profile", "policy", "card"])
def test_schema_prints_a_json_schema(cli, kind: str) -> None:
    schema = json.loads(cli("schema", kind).out)
    assert "$schema" in schema or "properties" in schema or "anyOf" in schema
    assert cli("schema", kind, "--json").document["data"] == schema


def test_doctor_finds_nothing_wrong_here_and_starts_no_server(cli, offline: Path) -> None:
    outcome = cli("doctor", "--json")
    found = {check["name"]: check["verdict"] for check in outcome.document["data"]}
    assert outcome.code == 0
    assert {"python", "torch", "state directory", "disk", "clock", "server", "slots"} <= set(found)
    assert "problem" not in found.values()
    assert not (offline / "server" / "server.json").exists()


def test_doctor_names_a_network_file_system_and_says_what_to_do(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_file_system", lambda folder: "nfs4")
    outcome = cli("doctor")
    assert outcome.code == 1
    assert "nfs4" in outcome.out
    assert "ORCHESTRATOR_STATE_DIR" in outcome.out
    assert "state directory" in outcome.err


def test_doctor_reports_a_server_that_does_not_answer(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", "x")
    document = cli("doctor", "--json").document
    assert document["error"]["exit_code"] == 1
    assert [c["verdict"] for c in document["data"] if c["name"] == "server"] == ["problem"]


def test_mlflow_becomes_mlflows_own_server_on_loopback(cli, monkeypatch: pytest.MonkeyPatch, offline: Path) -> None:
    started: list[list[str]] = []
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(os, "execve", lambda path, argv, env: started.append(argv))
    monkeypatch.setattr(os, "dup2", lambda old, new: new)
    data = cli("mlflow", "--port", "0", "--json").document["data"]
    (argv,) = started
    assert argv[:5] == [sys.executable, "-P", "-m", "mlflow", "server"]
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    assert argv[argv.index("--backend-store-uri") + 1] == f"sqlite:///{offline}/mlflow/mlflow.db"
    assert data["url"] == f"http://127.0.0.1:{argv[argv.index('--port') + 1]}"


def test_mlflow_names_the_tracking_server_that_is_configured(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    monkeypatch.setattr(os, "execve", mlflow.server_command)
    assert cli("mlflow").out == "http://127.0.0.1:5999\n"


def test_plan_says_what_would_be_launched_and_starts_nothing(cli, workload: Path, offline: Path) -> None:
    data = cli("plan", workload, "--json").document["data"]
    assert data["launch"]["rank_argv"] == ["echo", "hi"]
    assert cli("plan", workload).out.startswith("hello (command)")
    assert not (offline / "server").exists()


def test_plan_of_an_unchanged_workload_goes_by_its_own_runs(
    cli, workload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_digest(workload.read_text(), [], str(Path.cwd()))
    history = History(finished=(Finished("hello", getpass.getuser(), content, 40.0),))
    monkeypatch.setattr(recorded, "local_history", lambda *_, **__: history)
    assert "from 1 finished run of the same content" in cli("plan", workload).out
    assert "from 1 finished run of this name by this owner" in cli("plan", workload, "--set", "seed=1").out


def test_plan_refuses_what_submit_would_refuse(cli, workload: Path) -> None:
    assert cli("plan", workload, "--set", "resources.workers=100000").code == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org"])
def test_serve_refuses_to_listen_beyond_loopback_without_a_token(cli, offline: Path, host: str) -> None:
    outcome = cli("serve", "--host", host)
    assert outcome.code == 2
    assert "token" in outcome.err
    assert not (offline / "server" / "server.json").exists()


def test_stopping_a_server_where_none_runs_is_harmless(cli) -> None:
    assert cli("serve", "--stop", "--json").document["data"] == {"stopped": False, "pid": None}


def test_data_is_built_verified_described_and_shown(cli, tmp_path: Path) -> None:
    out = tmp_path / "digits"
    built = cli("data", "build", "digits", "--out", out, "--json").document["data"]
    assert sum(built["rows"].values()) == 1797
    assert cli("data", "verify", out).code == 0
    assert {s["name"] for s in cli("data", "info", out, "--json").document["data"]["splits"]} == set(built["rows"])
    assert cli("data", "head", out, "-n", "3").out.count("\n") == 4
    assert cli("data", "head", out, "--split", "nope").code == 2


def test_a_damaged_dataset_is_named_with_its_file_and_rows(cli, tmp_path: Path) -> None:
    out = tmp_path / "digits"
    cli("data", "build", "digits", "--out", out)
    shard = sorted(out.glob("train-*.arrow"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    outcome = cli("data", "verify", out, "--json")
    assert outcome.code == 1
    assert outcome.document["data"]["problems"][0]["file"] == shard.name


def test_a_dataset_that_is_not_built_is_5_with_the_command_to_type(cli) -> None:
    outcome = cli("data", "info", "cifar10")
    assert outcome.code == 5
    assert "orchestrator data build cifar10 --source" in outcome.err


def test_a_token_without_an_address_is_for_serve_and_leads_to_no_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", "a-token-that-serve-would-take")
    assert connect_to_running() is None
