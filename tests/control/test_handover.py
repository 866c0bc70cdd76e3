"""An engine with a queue of its own is given all that may start, and decides when and where it does."""

from pathlib import Path

import pytest
from queueing_kit import passes, queueing, run_of, said, wish

from orchestrator.backends.protocol import AllocationState, Capacity, LaunchRequest, Needs, Standing, Terms
from orchestrator.base.errors import BackendUnavailable, Conflict
from orchestrator.control.handover import pending_on_engine
from orchestrator.control.terms import terms_of
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.launch import read_launch
from orchestrator.store import jobs
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return queueing(tmp_path)


def told(world: World, job: str) -> Terms:
    """What the engine would be told of a job now."""
    with world.store.read() as connection:
        return terms_of(world.service.site, world.record(job), jobs.open_job(connection, job))


def test_all_that_waits_is_handed_over_at_once_and_runs_when_the_engine_starts_it(world: World) -> None:
    jobs = [world.submit("start", "succeed", resources={"workers": 2}) for _ in range(20)]
    world.step(3)
    assert {world.state(job) for job in jobs} == {"starting"}
    assert len(world.backend.list()) == 20
    assert world.job(jobs[0]).reason == (
        f"{jobs[0]}-r1 was handed to Simulated, which starts it on 2 workers when its turn comes"
    )
    assert [job.id for job, _ in pending_on_engine(world.service.site)] == jobs
    for _ in range(50):
        passes(world)
    assert {world.state(job) for job in jobs} == {"succeeded"}
    assert {allocation.starts for allocation in world.backend.allocations().values()} == {1}


def test_the_order_is_by_priority_then_by_submission(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"waiting": 1})
    low, high, last = (world.submit("start", "succeed") for _ in range(3))
    world.service.set_priority(high, 5)
    for _ in range(12):
        passes(world)
    launched = sorted(world.backend.allocations().items(), key=lambda item: item[1].number)
    assert [(name, one.priority) for name, one in launched] == [
        (f"{high}-r1.0", 5),
        (f"{low}-r1.0", 0),
        (f"{last}-r1.0", 0),
    ]


def test_no_more_wait_there_than_the_profile_allows_and_the_first_in_order_go_first(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"waiting": 3})
    jobs = [world.submit("start", "succeed") for _ in range(6)]
    world.service.set_priority(jobs[-1], 1)
    world.step(3)
    assert [world.state(job) for job in jobs] == ["starting", "starting", "queued", "queued", "queued", "starting"]
    for _ in range(12):
        passes(world)
    assert {world.state(job) for job in jobs} == {"succeeded"}


def test_what_depends_on_others_waits_here_and_fails_where_they_fail(world: World) -> None:
    first, bad = world.submit("start", "succeed", name="first"), world.submit("start", "fail:permanent", name="bad")
    after = world.submit("start", "succeed", name="after", depends_on=["first"])
    never = world.submit("start", "succeed", name="never", depends_on=["bad"])
    world.step(2)
    assert [world.state(job) for job in (first, bad, after, never)] == ["starting", "starting", "queued", "queued"]
    for _ in range(10):
        passes(world)
    assert [world.state(job) for job in (first, bad, after, never)] == ["succeeded", "failed", "succeeded", "failed"]


def test_what_failed_is_handed_over_again_after_its_back_off(world: World) -> None:
    job = world.submit("start", "first:die", "succeed", retry={"backoff": 5})
    for _ in range(8):
        passes(world)
    assert world.state(job) == "queued"
    for _ in range(16):
        passes(world)
    assert world.state(job) == "succeeded"
    assert [run.number for run in world.job(job).runs] == [1, 2]


def test_what_the_engine_takes_back_again_and_again_returns_to_its_queue_without_a_growing_pause(world: World) -> None:
    job = world.submit("start", *["wait"] * 90, "succeed")
    for number in range(1, 6):
        passes(world, 3)
        world.backend.take_back(f"{job}-r{number}.0")
        passes(world, 12)
    assert len(world.job(job).runs) == 6
    assert world.job(job).failures == {"preempted": 5}


def test_a_held_job_is_held_in_the_engines_queue_and_released_there(world: World) -> None:
    job = world.submit("start", "wait", "succeed")
    world.step()
    assert world.service.hold(job, "ann").reason == f"held by ann until somebody releases it; Simulated holds {job}-r1"
    world.step()
    assert world.backend.allocations()[f"{job}-r1.0"].held
    for _ in range(3):
        passes(world)
    assert world.state(job) == "held"
    assert world.service.release(job, "ann").state == "starting"
    for _ in range(8):
        passes(world)
    assert world.moves(job) == ["queued", "starting", "held", "starting", "running", "succeeded"]
    assert world.backend.calls.count("adjust") == 2


def test_a_hold_that_came_too_late_says_so(world: World) -> None:
    job = world.submit("start", "wait", "wait", "succeed")
    world.step()
    world.backend.begin_all()
    world.service.hold(job)
    world.controller.step()
    assert world.state(job) == "starting"
    assert world.job(job).reason == f"the hold came too late: Simulated has started {job}-r1"
    for _ in range(8):
        passes(world)
    assert world.state(job) == "succeeded"


def test_a_hold_that_comes_while_the_run_begins_does_not_hide_that_it_runs(world: World) -> None:
    job = world.submit("start", "wait", "wait", "succeed")
    world.step()
    world.backend.begin_all()
    world.backend.tick()
    world.service.hold(job)
    world.step()
    assert world.moves(job) == ["queued", "starting", "held", "starting", "running"]


def test_a_held_job_whose_run_is_lost_stays_held_and_starts_anew_when_it_is_released(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step()
    world.service.hold(job)
    world.step()
    world.backend.set_state(f"{job}-r1.0", "ended", "infrastructure")
    world.step(3)
    assert world.state(job) == "held"
    world.service.release(job)
    for _ in range(8):
        passes(world)
    assert world.state(job) == "succeeded"
    assert len(world.job(job).runs) == 2


def test_a_held_job_that_is_cancelled_leaves_the_engines_queue(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step()
    world.service.hold(job)
    world.step()
    world.service.cancel(job)
    world.step(5)
    assert world.state(job) == "cancelled"
    assert world.backend.list() == []


def test_a_new_priority_reaches_the_engine_once(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step()
    world.service.set_priority(job, 7)
    world.step(5)
    assert world.backend.allocations()[f"{job}-r1.0"].priority == 7
    assert world.backend.calls.count("adjust") == 1
    world.restart()
    world.step(3)
    assert world.backend.calls.count("adjust") == 1


def test_somebody_who_ends_it_by_the_engines_own_means_fails_the_job(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step(2)
    world.backend.set_state(f"{job}-r1.0", "ended", "permanent")
    world.step(3)
    assert world.state(job) == "failed"


def test_the_engine_that_does_not_know_now_concludes_nothing(world: World) -> None:
    job = world.submit("start", *["wait"] * 5, "succeed")
    passes(world, 3)
    world.backend.unknown.add(f"{job}-r1.0")
    for _ in range(100):
        world.controller.step()
        world.clock.advance(5)
    assert world.state(job) == "running"
    world.backend.unknown.clear()
    for _ in range(8):
        passes(world)
    assert world.state(job) == "succeeded"


def test_launches_whose_answers_are_lost_are_found_again(world: World) -> None:
    jobs = [world.submit("start", "succeed") for _ in range(8)]
    world.backend.answers_to_lose = 3
    world.step(60)
    assert {world.state(job) for job in jobs} == {"starting"}
    assert {allocation.starts for allocation in world.backend.allocations().values()} == {1}
    assert len(world.backend.list()) == 8
    assert {run_of(world, job).state for job in jobs} == {"launched"}


def test_an_engine_whose_queue_is_full_is_asked_ever_more_seldom(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, asked = [world.submit("start", "succeed") for _ in range(40)], list[float]()

    def full(request: LaunchRequest) -> None:
        asked.append(world.clock.now())
        raise BackendUnavailable("too many jobs", hint="wait")

    with monkeypatch.context() as patch:
        patch.setattr(world.backend, "launch", full)
        world.step(240)
    assert len(asked) <= 4 * 7
    assert {world.job(job).reason for job in jobs} == {"the engine has not accepted it yet: too many jobs"}
    world.step(130)
    assert len(world.backend.list()) == 40
    assert {allocation.launches for allocation in world.backend.allocations().values()} == {1}


def test_a_launch_that_is_refused_fails_its_job_alone(world: World) -> None:
    bad, good = world.submit("refuse"), world.submit("start", "succeed")
    for _ in range(6):
        passes(world)
    assert (world.state(bad), world.state(good)) == ("failed", "succeeded")


def test_a_held_job_that_somebody_ends_by_the_engines_own_means_fails(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step()
    world.service.hold(job)
    world.step()
    world.backend.set_state(f"{job}-r1.0", "ended", "permanent")
    world.step(2)
    assert world.moves(job) == ["queued", "starting", "held", "failed"]


def test_what_waits_there_costs_its_team_nothing(world: World) -> None:
    job = world.submit("start", *["wait"] * 4, "succeed", resources={"workers": 2})
    for _ in range(20):
        world.controller.step()
        world.clock.advance(100)
    assert world.record(job).attained == 0
    for _ in range(12):
        passes(world, seconds=10)
    assert world.state(job) == "succeeded"
    assert 80 <= world.record(job).attained <= 160


def test_a_gang_that_gets_fewer_than_it_may_have_wants_no_more(world: World) -> None:
    job = world.submit(*["wait"] * 4, "succeed", resources={"workers": "1..4"})
    world.step()
    assert (wish(world, job).world_size, wish(world, job).placement, run_of(world, job).slots) == (4, None, 4)
    EventWriter(world.run_directory(job), "agent-0", 1).append("started", world_size=2)
    passes(world, 2)
    run = run_of(world, job)
    assert (run.world_size, run.wanted, run.slots) == (2, 2, 2)
    assert world.job(job).reason == f"runs on 2 workers ({run.id})"


def test_what_the_engine_is_told_of_a_job(tmp_path: Path) -> None:
    world = queueing(tmp_path)
    needs = {"workers": "2..8", "memory_per_worker": "1GiB", "not_on": ["c"], "placement": "anywhere"}
    job = world.submit(resources=needs, priority=0, team="vision", name="mine")
    terms = told(world, job)
    needed = Needs(memory=2**30, not_on=("c",), anywhere=True)
    assert terms == Terms(2, 8, Standing(0, "vision"), "mine", needed)


def test_the_engine_is_told_how_long_a_job_takes_at_most_by_what_was_measured_of_it(world: World) -> None:
    for _ in range(3):
        world.submit("start", *["wait"] * 20, "succeed", name="again")
    passes(world, 120, seconds=10)
    job = world.submit("start", *["wait"] * 20, "succeed", name="again")
    terms = told(world, job)
    assert terms.expected is not None
    assert 200 < terms.expected < 2000


def test_others_see_what_the_engine_said_last(world: World) -> None:
    job = world.submit("start", "succeed")
    world.step()
    world.backend.wait(f"{job}-r1.0", "Resources", "waits for nodes")
    world.controller.step()
    seen = world.controller.seen()[f"{job}-r1.0"]
    assert seen.state is AllocationState.PENDING
    assert seen.waits is not None
    assert (seen.waits.code, seen.engine_id) == ("Resources", "1000")
    assert world.controller.held_by_others() == {}


def test_a_running_job_cannot_be_held(world: World) -> None:
    job = world.submit("start", "wait", "wait", "wait")
    for _ in range(3):
        passes(world)
    with pytest.raises(Conflict, match="is running; it must be queued"):
        world.service.hold(job)


def test_a_time_limit_counts_from_the_start(world: World) -> None:
    job = world.submit("start", *["wait"] * 50, "succeed", time_limit="60s")
    for _ in range(10):
        world.controller.step()
        world.clock.advance(100)
    assert world.state(job) == "starting"
    passes(world, 3)
    assert world.state(job) == "running"
    passes(world, 8, seconds=10)
    assert said(world, job, "stopping") == ["runs longer than its time limit of 60 s; asked to stop"]


def test_a_run_is_written_down_with_the_interpreter_that_the_nodes_have(tmp_path: Path) -> None:
    world = queueing(tmp_path, slurm={"python": "/nodes/bin/python"})
    job = world.train("start", "succeed")
    world.step()
    assert read_launch(world.run_directory(job)).argv[0] == "/nodes/bin/python"


def test_an_engine_that_does_not_say_what_it_has_says_how_runs_are_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.submit("start", "succeed")
    world.step()

    def silent() -> Capacity:
        raise BackendUnavailable("scontrol show partitions timed out", hint="wait")

    monkeypatch.setattr(world.backend, "capacity", silent)
    world.backend.begin_all()
    world.step(4)
    assert world.state(job) == "succeeded"


def test_equal_shares_never_come_to_more_workers_than_the_cluster_allows(tmp_path: Path) -> None:
    six = {"epochs": 2, "batch_size": 96, "samples_per_virtual_worker": 16}
    for limit, grows in ((None, True), (5, True), (5, False)):
        section = {"growth": {"partition": "spare"}} if grows else {}
        profile = {"limits": {"max_workers": limit}, "slurm": section}
        world = World(tmp_path / f"{limit}-{grows}", slots=6, queues=True, profile=profile)
        terms = told(world, world.train("start", workers="5..6", train=six))
        assert (terms.workers_min, terms.workers_max) == (5, limit or 6)
