"""`orchestrator verify elastic` for real: agents, workers, a storm of its own; and with a fault that it has to find."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted_fault
import pytest

from orchestrator.base.slots import SLOTS_VARIABLE
from orchestrator.cli.main import run
from orchestrator.verification import elastic, rehearsal
from orchestrator.verification.storm import Action, Storm, usual_storm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

WORKLOAD = {
    "name": "small",
    "recipe": "regnet",
    "seed": 3,
    "data": {"dataset": "digits", "image_size": 8},
    "model": {"stem": "cifar", "stem_width": 8, "depth": 2, "w0": 8, "wa": 8.0, "wm": 2.0, "group_width": 8},
    "optim": {"lr": 0.1},
    "train": {"epochs": 1, "batch_size": 64, "samples_per_virtual_worker": 16},
    "env": {"PYTHONPATH": str(Path(__file__).parent)},
}
SHORT = Storm(
    2,
    (
        Action("resize", 2, 1),
        Action("resize", 4, 2),
        Action("kill", 7, who="leader"),
        Action("stop", 10, 1),
    ),
)
Verify = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Verify:
    """Runs the command with `--json` in a storm; the exit code, and its envelope."""
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(WORKLOAD))

    def call(storm: Storm, *arguments: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(elastic, "usual_storm", lambda most: storm)
        keep = ("--keep", str(tmp_path / "kept"))
        code = run(["verify", "elastic", str(path), "--workers", str(storm.workers), *keep, *arguments, "--json"])
        return code, json.loads(capfd.readouterr().out)

    return call


def test_a_training_in_a_storm_has_the_bits_of_an_undisturbed_one_and_the_storm_is_proven(verify: Verify) -> None:
    code, found = verify(SHORT, "--no-ordinary")
    proof = found["data"]["proof"]
    assert (code, found["error"], proof["missed"]) == (0, None, [])
    assert found["data"]["holds"]
    assert found["data"]["comparison"] == {"steps": SHORT.steps, "only": [0, 0], "difference": None}
    assert set(proof["worlds"]) == {1, 2}
    assert proof["hits"] == 1
    assert proof["kept"] >= 1
    assert proof["sent"] > 1000


def test_a_fault_of_one_worker_is_found_and_named_with_its_step_and_tensor(
    verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "STORM_MODULE", planted_fault.__name__)
    code, found = verify(Storm(2), "--no-ordinary")
    difference = found["data"]["comparison"]["difference"]
    assert (code, found["error"]["code"], found["data"]["holds"]) == (1, "differs", False)
    assert (difference["step"], difference["what"]) == (planted_fault.STEP, "gradient")
    assert difference["tensors"] == ["head.2.bias"]
    assert f"the gradient of step {planted_fault.STEP}" in found["error"]["message"]
    assert "head.2.bias" in found["error"]["message"]


if os.environ.get("ORCHESTRATOR_TEST_FULL"):  # several minutes each

    @pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
    def test_the_usual_storm_changes_no_bit(verify: Verify, parallel: str) -> None:
        code, found = verify(usual_storm(4), "--set", f"train.parallel={parallel}")
        assert (code, found["error"], found["data"]["proof"]["missed"]) == (0, None, [])
        assert found["data"]["proof"]["hits"] == 3
