"""The real thing: command line, embedded server, agent, Ray and MLflow, in a state directory of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user's environment with a state directory and slots of its own."""
    work = tmp_path_factory.mktemp("lab")
    ours = {n: v for n, v in os.environ.items() if not n.startswith(("ORCHESTRATOR_", "MLFLOW_"))}
    bin_folder = str(Path(sys.executable).parent)
    return ours | {
        "PATH": bin_folder + os.pathsep + os.environ["PATH"],
        "ORCHESTRATOR_STATE_DIR": str(work / "state"),
        "ORCHESTRATOR_SLOTS_DIR": str(work / "slots"),
    }


@pytest.fixture(scope="module")
def orchestrator(environment: dict[str, str]) -> Iterator[Run]:
    """Runs `orchestrator …` as a user would, in the repository."""

    def run(*argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["orchestrator", *argv], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == code, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    yield run
    run("serve", "--stop")


@pytest.fixture(scope="module")
def answer(orchestrator: Run) -> Callable[..., Any]:
    """The data of a command's JSON envelope."""

    def data(*argv: str) -> Any:
        envelope = json.loads(orchestrator(*argv, "--json").stdout)
        assert envelope["schema"] == "v1"
        assert envelope["error"] is None
        return envelope["data"]

    return data
