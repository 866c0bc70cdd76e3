"""SIGKILL of the server before and after every commit and every call of an engine that has a queue of its own."""

import time
from pathlib import Path

from crash_kit import Probes, survive
from queueing_kit import growth_of, passes, queueing

from orchestrator.backends.protocol import LaunchRequest
from orchestrator.base.clock import RandomIds
from orchestrator.base.errors import BackendUnavailable
from orchestrator.testing.world import World

JOBS: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
    "plain": (("start", "succeed"), {}),
    "after": (("start", "first:die", "succeed"), {"depends_on": ["plain"], "retry": {"backoff": 1}}),
    "held": (("start", "succeed"), {}),
}
RUNS = {"plain": 1, "after": 2, "held": 1}


def handing_over(root: Path, probes: Probes) -> World:
    """People submit, hold one job in the engine's queue, and release it when the others are over."""
    world = queueing(root, probe=probes, ids=RandomIds())
    jobs = {name: world.submit(*script, key=name, name=name, **more) for name, (script, more) in JOBS.items()}
    held = jobs.pop("held")
    while world.service.open_jobs() > 0 and world.clock.monotonic() < 200:
        world.controller.step()
        over = all(world.job(job).terminal for job in jobs.values())
        if not over and world.state(held) == "starting":
            world.service.hold(held)
        elif over and world.state(held) == "held":
            world.service.release(held)
        elif over or all(one.held for name, one in world.backend.allocations().items() if name.startswith(held)):
            world.backend.begin_all()
        world.backend.tick()
        world.clock.advance(0.5)
    world.step(2)
    return world


def check_handover(world: World) -> None:
    """Each job has succeeded; each allocation was started once, and none too many."""
    jobs = {job.name: job for job in world.service.list()}
    assert {name: job.state for name, job in jobs.items()} == dict.fromkeys(JOBS, "succeeded")
    assert {name: len(job.runs) for name, job in jobs.items()} == RUNS
    allocations = world.backend.allocations()
    assert set(allocations) == {f"{run.id}.0" for job in jobs.values() for run in job.runs}
    assert {allocation.starts for allocation in allocations.values()} == {1}
    assert world.backend.list() == []
    world.store.close()


def growing(root: Path, probes: Probes) -> World:
    """A training grows by two allocations, of which one is taken back; a person makes it narrower; it ends."""
    world = queueing(root, probe=probes, ids=RandomIds())
    train = {"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16}
    job = world.train("start", *["follow"] * 14, "succeed", workers="2..6", train=train, key="one", name="one")
    for _ in range(60):
        if world.job(job).terminal:
            break
        known = world.backend.allocations()
        if (first := known.get(f"{job}-r1.100")) is not None and known[f"{job}-r1.0"].position == 6:
            world.backend.take_back(f"{job}-r1.100")
        elif first is not None and known[f"{job}-r1.0"].position == 10 and world.state(job) == "running":
            world.service.resize(job, 3)
        passes(world)
    world.step(4)
    return world


def check_growth(world: World) -> None:
    """One run; what the engine was asked for is written down, was started once, and is over."""
    (job,) = world.service.list()
    assert (job.state, len(job.runs)) == ("succeeded", 1)
    grown = growth_of(world, job.id)
    assert len(grown) >= 2
    assert {str(one.state) for one in grown} == {"ended"}
    allocations = world.backend.allocations()
    assert set(allocations) == {f"{job.id}-r1.0", *(one.id for one in grown)}
    assert {allocation.starts for allocation in allocations.values()} == {1}
    assert world.backend.list() == []
    assert world.moves(job.id) == ["queued", "starting", "running", "succeeded"]
    world.store.close()


MOST_WAITING = 3


def handing_over_many(root: Path, probes: Probes) -> World:
    """More jobs than may wait there; of the first batch one launch takes place and is not answered, the others are."""
    world = queueing(root, probe=probes, ids=RandomIds(), slurm={"waiting": MOST_WAITING})
    launch, lost = world.backend.launch, list[str]()

    def lose_one(request: LaunchRequest) -> None:
        launch(request)
        if not lost:
            lost.append(request.allocation)
            # Until the others of the batch have begun: they are not asked for any more once one was not answered.
            deadline = time.monotonic() + 1
            while len(world.backend.allocations()) < MOST_WAITING and time.monotonic() < deadline:
                time.sleep(0.001)
            raise BackendUnavailable("the answer was lost", hint="wait")

    world.backend.launch = lose_one  # type: ignore[method-assign]
    for number in range(5):
        world.submit("start", "succeed", key=str(number), name=f"job-{number}")
    while world.service.open_jobs() > 0 and world.clock.monotonic() < 200:
        world.controller.step()
        assert sum(one.state == "pending" for one in world.backend.allocations().values()) <= MOST_WAITING
        world.backend.begin_all()
        world.backend.tick()
        world.clock.advance(2)
    world.step(2)
    return world


def check_many(world: World) -> None:
    """Each job has succeeded with its first run, which was started once."""
    jobs = world.service.list()
    assert {(job.state, len(job.runs)) for job in jobs} == {("succeeded", 1)}
    allocations = world.backend.allocations()
    assert set(allocations) == {f"{job.id}-r1.0" for job in jobs}
    assert {allocation.starts for allocation in allocations.values()} == {1}
    assert world.backend.list() == []
    world.store.close()


def test_a_server_killed_in_a_batch_of_which_one_launch_was_not_answered_launches_nothing_twice(
    template: Path, tmp_path: Path
) -> None:
    names = survive(handing_over_many, check_many, template, tmp_path, begin="before commit start")
    assert {"before commit not launched yet", "after commit launched"} <= set(names)


def test_a_server_killed_while_it_hands_its_queue_over_launches_nothing_twice(template: Path, tmp_path: Path) -> None:
    names = survive(handing_over, check_handover, template, tmp_path, begin="before commit start")
    assert {"before engine adjust", "after commit held", "before commit launched"} <= set(names)


def test_a_server_killed_while_a_run_grows_forgets_no_allocation(template: Path, tmp_path: Path) -> None:
    names = survive(growing, check_growth, template, tmp_path, begin="before commit growth")
    assert {"after commit growth launched", "before engine stop", "before commit growth ended"} <= set(names)
