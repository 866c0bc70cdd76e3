"""`orchestrator mlflow` with a real MLflow: its pages answer, on loopback, and nothing is left when it ends."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from orchestrator.base.process import processes_with_environment


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.mlflow
def test_the_pages_answer_and_leave_nothing_behind(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "ORCHESTRATOR_"))}
    environment["ORCHESTRATOR_STATE_DIR"] = str(tmp_path)
    tool = str(Path(sys.executable).with_name("orchestrator"))
    pages = subprocess.Popen(
        [tool, "mlflow", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert pages.stdout is not None
        url = pages.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        deadline = time.monotonic() + 240
        while not answers(url):
            assert pages.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        pages.send_signal(signal.SIGINT)
        rest, _ = pages.communicate(timeout=30)
    assert rest == ""
    deadline = time.monotonic() + 20
    while left := processes_with_environment("ORCHESTRATOR_STATE_DIR", str(tmp_path)):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
