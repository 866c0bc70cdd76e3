"""Shards: equal bits for every number of workers and every sequence of views."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORKERS = 3
STEPS = 5


def steady(model: str, world: int, **settings: Any) -> dict[str, Any]:
    name = "-".join([model, str(world), *map(str, settings.values())])
    views = [{"members": list(range(world)), "until": STEPS}]
    return {"name": name, "model": model, "settings": settings, "views": views}


SCENARIOS = [
    *[steady(model, world) for model in ("ln", "bn") for world in (1, 3)],
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What every worker of a pool got in each scenario, by the scenario's name."""
    folder = tmp_path_factory.mktemp("shards")
    (folder / "scenarios.json").write_text(json.dumps({"workers": WORKERS, "scenarios": SCENARIOS}))
    script = Path(__file__).with_name("shard_pool.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([sys.executable, str(script), str(number), str(folder)], env=environment)
        for number in range(WORKERS)
    ]
    try:
        assert [worker.wait(120) for worker in workers] == [0] * WORKERS
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return [json.loads((folder / f"worker-{number}.json").read_text()) for number in range(WORKERS)]


def outcome(results: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """What all workers that were members at the end agree on."""
    said = [each[name] for each in results if each[name]]
    assert said
    assert all(each == said[0] for each in said)
    return said[0]


@pytest.mark.parametrize("model", ["ln", "bn"])
def test_any_number_of_workers_ends_with_the_same_state(results: list[dict[str, Any]], model: str) -> None:
    assert outcome(results, f"{model}-3") == outcome(results, f"{model}-1")
    assert outcome(results, f"{model}-1")["steps"] == STEPS
