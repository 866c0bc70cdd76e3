"""Shards: equal bits for every number of workers and every sequence of views."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Results = list[dict[str, Any]]

FULL = bool(os.environ.get("ORCHESTRATOR_TEST_FULL"))
WORKERS = 4
STEPS = 5
SECONDS = 240


def steady(model: str, world: int, **settings: Any) -> dict[str, Any]:
    name = "-".join([model, *map(str, settings.values()), str(world)])
    views = [{"members": list(range(world)), "until": STEPS}]
    return {"name": name, "model": model, "settings": settings, "views": views}


def storm(name: str, model: str, *views: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"name": name, "model": model, "settings": settings, "views": list(views)}


def view(*members: int, until: int = STEPS, **more: Any) -> dict[str, Any]:
    return {"members": members, "until": until, **more}


def lost(*numbers: int, at: int, when: str) -> dict[str, Any]:
    return {"numbers": numbers, "at": at, "when": when}


SCENARIOS = [
    *[steady("ln", world) for world in ((1, 2, 3, 4) if FULL else (1, 2, 4))],
    *[steady("bn", world) for world in ((1, 2, 3, 4) if FULL else (1, 3))],
    *[steady("teacher", world) for world in (1, 3)],
    *[steady("ln", world, precision="bf16") for world in (1, 3)],
    *[steady("ln", world, parts=2) for world in (1, 3)],
    *[steady("ln", world, exact=False) for world in (1, 3)],
    steady("ln", 2, checkpointing=True),
    storm(
        "resized", "bn", view(0, until=1), view(0, 1, 2, until=2), view(0, 1, 2, 3, until=3), view(1, 3, leaving=[0, 2])
    ),
    storm("taught", "teacher", view(0, 1, until=2), view(0, 1, 2, 3, until=4), view(1, leaving=[0, 2, 3])),
    *[
        storm(
            f"killed in {when}", "bn", view(0, 1, 2, lose=lost(1, at=2, when=when)), view(0, 2, until=4), view(0, 1, 2)
        )
        for when in ("pass", "reduce", "commit")
    ],
    storm("killed after", "ln", view(0, 1, 2, 3, lose=lost(0, at=3, when="committed")), view(1, 2, 3)),
    storm("killed in entering", "ln", view(0, 1, until=2), view(0, 1, 2, lose=lost(2, at=2, when="enter")), view(0, 1)),
    storm(
        "killed twice",
        "ln",
        view(0, 1, 2, lose=lost(1, at=2, when="pass")),
        view(0, 2, 3, lose=lost(0, at=2, when="pass")),
        view(2, 3),
    ),
    storm("seldom mirrored", "ln", view(0, 1, 2, lose=lost(1, at=4, when="pass")), view(0, 2), mirror_every=3),
    storm("neighbours killed", "ln", view(0, 1, 2, 3, lose=lost(1, 2, at=3, when="pass")), view(0, 3)),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What every worker of a pool got in each scenario, by the scenario's name."""
    folder = tmp_path_factory.mktemp("shards")
    plan = {"workers": WORKERS, "seconds": SECONDS, "scenarios": SCENARIOS}
    (folder / "scenarios.json").write_text(json.dumps(plan))
    script = Path(__file__).with_name("shard_pool.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script), str(folder)], env=environment, timeout=2 * SECONDS, check=True)
    return [json.loads((folder / f"worker-{number}.json").read_text()) for number in range(WORKERS)]


def outcome(results: Results, name: str) -> dict[str, Any]:
    """What all workers that were members at the end agree on."""
    said = [{"steps": each[name]["steps"], "digest": each[name]["digest"]} for each in results if "steps" in each[name]]
    said = [each for each in said if each["steps"] == STEPS]
    assert said
    assert all(each == said[0] for each in said)
    return said[0]


STORMS = {each["name"]: each["model"] for each in SCENARIOS if len(each["views"]) > 1}
del STORMS["neighbours killed"]


CELLS = ["ln-2", "ln-4", "bn-3", "teacher-3", "ln-bf16-3", "ln-2-3", *(["ln-3", "bn-2", "bn-4"] if FULL else [])]


@pytest.mark.parametrize("name", CELLS)
def test_any_number_of_workers_ends_with_the_same_state(results: Results, name: str) -> None:
    assert outcome(results, name) == outcome(results, name[:-1] + "1")


@pytest.mark.parametrize("name", STORMS)
def test_any_sequence_of_views_ends_with_the_same_state(results: Results, name: str) -> None:
    assert outcome(results, name) == outcome(results, f"{STORMS[name]}-1")


def test_activations_that_are_computed_twice_change_nothing(results: Results) -> None:
    assert outcome(results, "ln-True-2") == outcome(results, "ln-1")


def test_without_exact_the_workers_agree(results: Results) -> None:
    assert outcome(results, "ln-False-3")["steps"] == STEPS


@pytest.mark.parametrize(
    ("name", "at"), [("killed in pass", 2), ("killed in reduce", 2), ("killed in commit", 3), ("seldom mirrored", 4)]
)
def test_a_loss_is_noticed_where_it_happens(results: Results, name: str, at: int) -> None:
    assert results[0][name]["seen"] == [at]


def test_the_loss_of_two_neighbours_is_the_loss_of_the_state(results: Results) -> None:
    assert [each["neighbours killed"].get("lost", False) for each in results] == [True, False, False, True]
