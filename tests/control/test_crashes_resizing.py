"""SIGKILL of the server before and after every commit and every engine call of a resize, by a person or by a policy."""

from functools import partial
from pathlib import Path

import pytest
from crash_kit import Check, Life, Probes, survive, until_it_runs

from orchestrator.base.clock import RandomIds
from orchestrator.rundir.control import read_control
from orchestrator.store import runs
from orchestrator.testing.world import World

POLICY = {"preset": "priority", "round": 0.1, "elastic": {"between": 0, "price": 0.1}}
TRAINING = ("start", "wait", *["follow"] * 10, "succeed")


def asking(*widths: int) -> Life:
    """A life in which somebody submits a training, and asks for one width after the other while it runs on 4."""

    def life(root: Path, probes: Probes) -> World:
        world = World(root, slots=4, probe=probes, ids=RandomIds())
        job = world.train(*TRAINING, key="one", name="one")
        while not world.job(job).terminal:
            asked = world.moves(job).count("resizing")
            if world.state(job) == "running" and asked < len(widths):
                world.service.resize(job, widths[asked])
            world.step()
        world.step(2)
        return world

    return life


def growing(root: Path, probes: Probes) -> World:
    """A life in which a training begins on 2 of 4 slots, and the policy gives it the others when they become free."""
    world = World(root, slots=4, probe=probes, ids=RandomIds(), profile={"policy": POLICY})
    other = world.submit("start", "wait", "wait", "succeed", key="other", name="other", resources={"workers": 2})
    until_it_runs(world, other)
    world.train(*TRAINING, key="one", name="one")
    world.finish()
    world.step(2)
    return world


def crowded(root: Path, probes: Probes, *, beside: int) -> World:
    """Half of node a is held for so many words, node b for six."""
    world = World(root, slots={"a": 4, "b": 4}, probe=probes, ids=RandomIds(), profile={"policy": POLICY})
    for name, waits, workers in (("beside", beside, 2), ("other", 6, 4)):
        script = ("start", *["wait"] * waits, "succeed")
        until_it_runs(world, world.submit(*script, key=name, name=name, resources={"workers": workers}))
    return world


def moving(root: Path, probes: Probes) -> World:
    """A life in which a training on half of node a goes to node b when that becomes idle, and does so at once."""
    world = crowded(root, probes, beside=24)
    world.train("start", "wait", *["follow"] * 16, "succeed", key="one", name="one", workers="2..4")
    world.finish()
    world.step(2)
    return world


def called_off(root: Path, probes: Probes) -> World:
    """The same life, but the training is too slow: it goes on where it was."""
    world = crowded(root, probes, beside=20)
    job = world.train("start", *["wait"] * 12, "succeed", key="one", name="one", workers="2..4")
    while not world.job(job).terminal and "running" not in world.moves(job)[4:]:
        world.step(seconds=160 if world.state(job) == "resizing" else 0.5)
    world.finish()
    world.step(2)
    return world


def check_place(world: World, width: int, node: str, told: int) -> None:
    """As `check` of one resize, and the run ended where it should, by store, control.json and engine."""
    one = next(job for job in world.service.list() if job.name == "one")
    control = read_control(world.run_directory(one.id))
    with world.store.read() as connection:
        run = runs.newest_of(connection, one.id)
    assert control is not None
    assert run is not None
    assert control.placement == run.placement == ((node, width),)
    assert world.backend.allocations()[run.allocation].placement == ((node, width),)
    check(world, width, 1, slots=8, told=told)


def check(world: World, width: int, resizes: int, *, slots: int = 4, told: int | None = None) -> None:
    """Each job had one run, resized so often; the run knows the wish, and all slots are free."""
    jobs = {job.name: job for job in world.service.list()}
    one = jobs.pop("one")
    assert [(run.world_size, run.wanted) for run in one.runs] == [(width, width)]
    changes = ["resizing", "running"] * resizes
    assert world.moves(one.id) == ["queued", "starting", "running", *changes, "succeeded"]
    assert {job.state for job in jobs.values()} <= {"succeeded"}
    control = read_control(world.run_directory(one.id))
    assert control is not None
    assert (control.world_size, control.generation) == (width, 1 + resizes if told is None else told)
    assert [allocation.starts for allocation in world.backend.allocations().values()] == [1] * (1 + len(jobs))
    assert world.backend.capacity().free == slots
    world.store.close()


@pytest.mark.parametrize(
    ("life", "begin", "then"),
    [
        (asking(2, 4), "before commit resize", partial(check, width=4, resizes=2)),
        (growing, "before commit grow", partial(check, width=4, resizes=1)),
        (moving, "before commit grow", partial(check_place, width=4, node="b", told=2)),
        (called_off, "before commit resize called off", partial(check_place, width=2, node="a", told=3)),
    ],
    ids=["shrinks and grows as asked", "grows by itself", "moves by itself", "is too slow"],
)
def test_a_server_killed_at_any_point_of_a_resize_carries_it_out_once(
    template: Path, tmp_path: Path, life: Life, begin: str, then: Check
) -> None:
    survive(life, then, template, tmp_path, begin=begin)
