"""The wheel, installed alone into an empty environment: the control plane must work without torch, ray or mlflow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")


def _run(*argv: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(a) for a in argv], cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}, timeout=300
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel and what the core install requires."""
    work = tmp_path_factory.mktemp("wheel")
    _run(UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", work, ROOT, cwd=work)
    (wheel,) = work.glob("*.whl")
    _run(UV, "venv", "--python", sys.executable, work / "venv", cwd=work)
    python = work / "venv/bin/python"
    _run(UV, "pip", "install", "--python", python, "--constraints", ROOT / "requirements.lock", wheel, cwd=work)
    return work / "venv"


def test_the_core_install_needs_no_library_of_the_work_plane(empty_environment: Path) -> None:
    listed = _run(UV, "pip", "list", "--python", empty_environment / "bin/python", cwd=empty_environment).stdout.lower()
    names = {line.split()[0] for line in listed.splitlines() if line}
    assert names & {"torch", "torchvision", "ray", "mlflow", "pyarrow"} == set()


def test_init_lays_out_what_people_edit_and_plan_reads_it(empty_environment: Path, tmp_path: Path) -> None:
    command = empty_environment / "bin/orchestrator"
    state = {"ORCHESTRATOR_STATE_DIR": str(tmp_path / "state")}
    _run(command, "init", "lab", cwd=tmp_path, **state)
    assert (tmp_path / "lab/workloads/regnet_sweep.yaml").is_file()
    assert (tmp_path / "lab/cluster/local.yaml").is_file()
    assert (tmp_path / "lab/datasets/digits.yaml").is_file()
    printed = _run(command, "plan", "workloads/regnet_sweep.yaml", "--json", cwd=tmp_path / "lab", **state).stdout
    plan = json.loads(printed)
    assert plan["schema"] == "v1"
    assert plan["error"] is None
    assert plan["data"]["population"]["size"] == 24
