"""The forwarder against a real MLflow."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.rundir.layout import JobDirectory
from orchestrator.tracking.forward import main
from orchestrator.tracking.spool import Spool

pytestmark = pytest.mark.mlflow


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    directory = JobDirectory.under(tmp_path / "runs", "job-1")
    directory.create()
    return directory


def spool_search(job: JobDirectory, trials: int = 3, epochs: int = 4) -> None:
    (job.results / "edf.png").write_bytes(b"png")
    with Spool(job, "search", 1, experiment="demo", interval=0) as spool:
        spool.start_run("job-1", name="sweep", params={"train.epochs": "4"}, tags={"orchestrator.job": "job-1"})
        for index in range(trials):
            spool.start_run(f"job-1/trial-{index}", parent="job-1", name=f"trial {index}", params={"d": "8"}, tags={})
            for epoch in range(1, epochs + 1):
                spool.metrics(f"job-1/trial-{index}", epoch * 100, {"val error": 1 / epoch, "bad=name": 1.0})
            spool.end_run(f"job-1/trial-{index}", "finished")
        spool.artifact("job-1", job.results / "edf.png", "plots")
        spool.end_run("job-1", "finished")


def forward(tmp_path: Path, uri: str) -> dict[str, object]:
    status = tmp_path / "status.json"
    arguments = ["--runs-root", tmp_path / "runs", "--uri", uri, "--status", status, "--until-idle", "0"]
    subprocess.run([sys.executable, "-m", "orchestrator.tracking.forward", *map(str, arguments)], check=True)
    found: dict[str, object] = json.loads(status.read_text())
    return found


def test_a_search_is_one_parent_with_its_children_sent_once(job: JobDirectory, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    spool_search(job)
    status = forward(tmp_path, uri)
    assert (status["pending"], status["error"]) == (0, "")
    (job.tracking / "forwarded.json").unlink()  # as if it had been killed before the first cursor was saved
    forward(tmp_path, uri)

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("demo")
    runs = {run.data.tags["orchestrator.key"]: run for run in client.search_runs([experiment.experiment_id])}
    parent = runs.pop("job-1")
    assert sorted(runs) == ["job-1/trial-0", "job-1/trial-1", "job-1/trial-2"]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert parent.info.run_name == "sweep"
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"train.epochs": "4"}
    for run in runs.values():
        history = client.get_metric_history(run.info.run_id, "val error")
        assert [(m.step, m.value) for m in history] == [(100, 1.0), (200, 0.5), (300, 1 / 3), (400, 0.25)]
        assert "bad_name" in run.data.metrics
        assert run.info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "plots")] == ["plots/edf.png"]
    assert (tmp_path / "store" / "artifacts" / "demo").is_dir()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, "Server"]]:
    instance = Server(tmp_path, free_port())
    yield instance.port, instance
    instance.stop()


class Server:
    """An MLflow tracking server on loopback, started when asked."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", "artifacts"]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), *store]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}
        with open(self.folder / "server.log", "wb") as log:
            self.process = subprocess.Popen(
                [*command, "--workers", "1"],
                cwd=self.folder, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 15)
            self.process.wait(30)


def test_a_server_that_comes_up_late_gets_everything(
    job: JobDirectory, tmp_path: Path, server: tuple[int, Server]
) -> None:
    from mlflow import MlflowClient

    port, instance = server
    uri = f"http://127.0.0.1:{port}"
    spool_search(job, trials=1)
    status = tmp_path / "status.json"
    arguments = ["--runs-root", tmp_path / "runs", "--uri", uri, "--status", status, "--until-idle", "0"]
    command = [sys.executable, "-m", "orchestrator.tracking.forward", *map(str, arguments)]
    with subprocess.Popen(command) as forwarder:
        deadline = time.monotonic() + 120
        while not (status.exists() and json.loads(status.read_text())["error"]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert json.loads(status.read_text())["pending"] > 0
        instance.start()
        assert forwarder.wait(170) == 0
    done = json.loads(status.read_text())
    assert (done["pending"], done["error"]) == (0, "")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("demo")
    (trial,) = client.search_runs([experiment.experiment_id], "tags.`orchestrator.key` = 'job-1/trial-0'")
    assert [m.step for m in client.get_metric_history(trial.info.run_id, "val error")] == [100, 200, 300, 400]


def test_a_second_forwarder_leaves_the_field_to_the_first(job: JobDirectory, tmp_path: Path) -> None:
    import fcntl

    spool_search(job, trials=1)
    with open(tmp_path / "runs" / ".forwarder.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status = tmp_path / "status.json"
        assert main(["--runs-root", str(tmp_path / "runs"), "--uri", "sqlite://", "--status", str(status)]) == 0
    assert not status.exists()


def test_it_ends_by_itself_with_nothing_to_send(tmp_path: Path) -> None:
    from orchestrator.tracking.forward import Forwarder, Settings

    def never(_: str) -> object:
        raise AssertionError("nothing to send: no reason to connect")

    settings = Settings(tmp_path, "sqlite://", tmp_path / "status.json", until_idle=0)
    Forwarder(settings, never, threading.Event()).run()  # type: ignore[arg-type]
    assert json.loads((tmp_path / "status.json").read_text())["pending"] == 0
