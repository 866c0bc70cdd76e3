"""The elastic contract on 1, 2 and 3 workers: the same parameters, bit for bit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Results = dict[str, list[dict[str, Any]]]

SCENARIOS = [
    {"name": "alone", "world": 1},
    {"name": "two", "world": 2},
    {"name": "three", "world": 3},
    {"name": "stopped", "world": 2, "checkpoints": "moved", "stop_at": 3},
    {"name": "stopped by the third", "world": 3, "stop_at": 3},
    {"name": "moved", "world": 3, "checkpoints": "moved"},
    {"name": "loose alone", "world": 1, "exact": False},
    {"name": "loose", "world": 3, "exact": False},
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What every worker of a pool of three got in each scenario, by the scenario's name."""
    folder = tmp_path_factory.mktemp("pool")
    scenarios = [
        {"exact": True, "checkpoints": None, "stop_at": 0, "port": port} | scenario
        for scenario, port in zip(SCENARIOS, free_ports(len(SCENARIOS)), strict=True)
    ]
    (folder / "scenarios.json").write_text(json.dumps(scenarios))
    script = Path(__file__).with_name("toy_pool.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([sys.executable, str(script), str(rank), str(folder)], env=environment) for rank in range(3)
    ]
    try:
        assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    found = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(3)]
    return {s["name"]: [each[s["name"]] for each in found if s["name"] in each] for s in scenarios}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.parametrize("name", ["two", "three"])
def test_any_number_of_workers_ends_with_the_same_parameters(results: Results, name: str) -> None:
    assert {worker["digest"] for worker in results[name]} == {results["alone"][0]["digest"]}


@pytest.mark.parametrize("name", ["two", "three"])
def test_losses_and_evaluation_do_not_depend_on_the_workers(results: Results, name: str) -> None:
    assert all(worker["history"] == results["alone"][0]["history"] for worker in results[name])


def test_a_stop_asked_of_one_worker_stops_all_after_the_same_step(results: Results) -> None:
    assert [(w["state"], w["samples"]) for w in results["stopped"]] == [("stopped", 48)] * 2
    assert [(w["state"], w["samples"]) for w in results["stopped by the third"]] == [("stopped", 48)] * 3


def test_a_training_moved_to_more_workers_in_the_middle_of_an_epoch_ends_the_same(results: Results) -> None:
    assert {worker["digest"] for worker in results["moved"]} == {results["alone"][0]["digest"]}
    assert all(worker["history"] == results["alone"][0]["history"] for worker in results["moved"])


def test_without_exact_the_workers_agree_and_the_result_is_close(results: Results) -> None:
    assert len({worker["digest"] for worker in results["loose"]}) == 1
    loose, alone = (results[name][0]["history"][-1][0] for name in ("loose", "loose alone"))
    assert loose == pytest.approx(alone, rel=1e-3)
    assert loose == pytest.approx(results["alone"][0]["history"][-1][0], rel=1e-3)
