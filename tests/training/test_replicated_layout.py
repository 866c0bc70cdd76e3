"""Replicated parameters: the sum over workers has one order, and joiners get everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORKERS = 4
KINDS: dict[str, dict[str, Any]] = {
    "bn": {},
    "gn": {"task": {"norm": "gn"}},
    "short": {"sizes": [2, 2, 1, 0, 0]},
    "one sample": {"sizes": [1, 0, 0, 0, 0]},
    "eleven": {"sizes": [2] * 11},
    "corrupt": {"corrupt": [0, 3]},
    "named": {"task": {"named": True}},
    "named short": {"task": {"named": True}, "sizes": [2, 2, 0, 0, 0]},
    "checkpointed": {"settings": {"activation_checkpointing": True}},
    "bf16": {"settings": {"precision": "bf16"}},
    "fp16": {"task": {"norm": "gn"}, "settings": {"precision": "fp16"}},
    "accumulated": {"task": {"norm": "gn"}, "settings": {"accumulate": 2}, "sizes": [3, 3, 3, 3, 1]},
}
if os.environ.get("ORCHESTRATOR_TEST_FULL"):  # a minute of compiling
    KINDS["compiled"] = {"settings": {"compile": True}, "sizes": [2, 2, 1, 0]}
STORMS = {"grown": [1, 3], "storm": [3, 1, 4, 2]}
WORLDS = {"bn": (2, 3, 4), "eleven": (3, 4), "short": (4,)}
CELLS = [(kind, world) for kind in KINDS for world in WORLDS.get(kind, (3,))]
SCENARIOS = {
    **{f"{kind} 1": {**each, "worlds": [1]} for kind, each in KINDS.items()},
    **{f"{kind} {world}": {**KINDS[kind], "worlds": [world]} for kind, world in CELLS},
    **{name: {"worlds": worlds} for name, worlds in STORMS.items()},
    **{f"calm {len(worlds)}": {"worlds": [1] * len(worlds)} for worlds in STORMS.values()},
    **{f"loose {world}": {"settings": {"exact": False}, "worlds": [world]} for world in (1, 3)},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What every worker of the pool got in each scenario, by the scenario's name."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "scenarios.json").write_text(json.dumps(SCENARIOS))
    script = Path(__file__).with_name("stepping_pool.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([sys.executable, str(script), str(rank), str(folder)], env=environment)
        for rank in range(WORKERS)
    ]
    try:
        assert [worker.wait(560) for worker in workers] == [0] * WORKERS
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    each = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(WORKERS)]
    return {name: [of_rank[name] for of_rank in each if of_rank[name]] for name in SCENARIOS}


@pytest.mark.parametrize(("kind", "world"), CELLS)
def test_any_number_of_workers_gets_the_same_bits(
    found: dict[str, list[dict[str, Any]]], kind: str, world: int
) -> None:
    assert len(found[f"{kind} {world}"]) == world
    assert all(worker == found[f"{kind} 1"][0] for worker in found[f"{kind} {world}"])


@pytest.mark.parametrize("name", STORMS)
def test_a_training_that_changes_its_workers_gets_the_same_bits(
    found: dict[str, list[dict[str, Any]]], name: str
) -> None:
    calm = found[f"calm {len(STORMS[name])}"][0]
    assert len(found[name]) == STORMS[name][-1]
    assert {worker["digest"] for worker in found[name]} == {calm["digest"]}


def test_activation_checkpointing_changes_no_bit(found: dict[str, list[dict[str, Any]]]) -> None:
    assert found["checkpointed 3"] == found["bn 3"]


def test_without_exact_the_workers_agree_and_the_result_is_close(found: dict[str, list[dict[str, Any]]]) -> None:
    assert len({worker["digest"] for worker in found["loose 3"]}) == 1
    assert found["loose 3"][0]["losses"] == pytest.approx(found["loose 1"][0]["losses"], rel=1e-4)
    assert found["loose 1"][0]["losses"] == pytest.approx(found["bn 1"][0]["losses"], rel=1e-4)
