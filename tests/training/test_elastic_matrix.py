"""The elastic contract: layouts x norms x worlds x storms, each bit for bit as undisturbed on one worker.

A covering subset by default; all cells with ORCHESTRATOR_TEST_FULL=1.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from elastic_pool import Ended, Pool
from elastic_worker import Action
from tiny_recipes import RECIPES
from toy_training import Falling, ToyTask, toy_config

from orchestrator.training.config import TrainConfig

pytestmark = pytest.mark.slow

LAYOUTS = ("ddp", "fsdp")
TASKS = ("bn", "gn", "ln", *RECIPES)
WORLDS = (1, 2, 3, 4, 8)
FULL = bool(os.environ.get("ORCHESTRATOR_TEST_FULL"))


@dataclass(frozen=True)
class Storm:
    """A script for a world of so many workers; `resumed`: then the training is stopped and goes on with another."""

    name: str
    script: tuple[Action, ...]
    resumed: int = 0


def storms(world: int) -> list[Storm]:
    """All that can happen to so many workers. An epoch has four steps; step 4 begins with the evaluation before it."""
    found = [
        Storm("calm", ()),
        Storm("grow", (Action("resize", 1, workers=world + 2),)) if world < 8 else Storm("calm", ()),
        Storm("resume", (Action("stop", 2),), resumed=3),
    ]
    if world > 1:
        found += [
            Storm("shrink", (Action("resize", 3, workers=world // 2),)),
            Storm("kill", (Action("kill", 2),)),
            Storm("kill the leader", (Action("kill", 5, who="leader"),)),
            Storm("kill in the evaluation, grow again", (Action("kill", 4), Action("resize", 6, workers=world))),
            Storm("replace", (Action("kill", 1, phase="compute", workers=world), Action("kill", 6, workers=world))),
            Storm("down and up", (Action("resize", 0, workers=1), Action("resize", 4, workers=world))),
        ]
    return found


def all_cells() -> list[tuple[str, str, int, Storm]]:
    return [
        (layout, task, world, storm)
        for layout, task, world in itertools.product(LAYOUTS, TASKS, WORLDS)
        for storm in dict.fromkeys(storms(world))
    ]


def covering() -> list[tuple[str, str, int, Storm]]:
    """Each pair of a storm with a layout, a task or a world, a task with a layout, and a world with a layout."""
    missing = {pair for cell in all_cells() for pair in pairs(cell)}
    chosen = []
    while missing:
        best = max(all_cells(), key=lambda cell: (len(pairs(cell) & missing), -cell[2]))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


def pairs(cell: tuple[str, str, int, Storm]) -> set[tuple[object, ...]]:
    layout, task, world, storm = cell
    few = 2 if world <= 2 else world
    return {(storm.name, layout), (storm.name, task == "bn"), (storm.name, few == 3), (task, layout), (world, layout)}


CELLS = all_cells() if FULL else covering()


@pytest.fixture(scope="module")
def undisturbed(pool: Pool) -> dict[tuple[str, str], Ended]:
    """What each task comes to on one worker, by layout and task."""
    return {}


def settings(layout: str, task: str) -> tuple[Any, TrainConfig]:
    config = replace(toy_config(batch_size=16, slice_samples=2), parallel=layout)
    if task in RECIPES:
        return RECIPES[task], replace(config, schedule=Falling(0.01))
    return ToyTask(norm=task), config  # type: ignore[arg-type]


@pytest.mark.parametrize(("layout", "task", "world", "storm"), CELLS, ids=lambda v: getattr(v, "name", str(v)))
def test_a_storm_changes_no_bit(
    layout: str,
    task: str,
    world: int,
    storm: Storm,
    pool: Pool,
    undisturbed: dict[tuple[str, str], Ended],
    tmp_path: Path,
) -> None:
    recipe, config = settings(layout, task)
    if (layout, task) not in undisturbed:
        undisturbed[layout, task] = pool.run(recipe, config, 1)
    expected = undisturbed[layout, task].leader
    checkpoints = tmp_path if storm.resumed else None
    ended = pool.run(recipe, config, world, storm.script, checkpoints=checkpoints)
    assert len(ended.views) == 1 + sum(action.kind != "stop" for action in storm.script), ended.states
    if storm.resumed:
        assert set(ended.states.values()) == {"stopped"}
        ended = pool.run(recipe, config, storm.resumed, checkpoints=checkpoints)
    members = ended.views[-1].numbers
    assert {number: ended.states[number] for number in members} == dict.fromkeys(members, "finished")
    assert all(state in ("finished", "left") for state in ended.states.values())
    assert ended.leader["digest"] == expected["digest"]
    assert ended.leader["history"] == expected["history"]
    assert ended.leader["exact_until"] is None
