"""Where slots are GPUs and an engine gives out cores apart, as Slurm does: who takes which, and every view of it."""

from dataclasses import replace
from pathlib import Path

import pytest
from engine_queue_kit import Desk

from orchestrator.api.engine import Engine
from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.errors import LaunchRefused, UsageError
from orchestrator.cli.queuetext import queue_text, wants_text
from orchestrator.control.accounts import charge
from orchestrator.control.weighing import workers_on_a_node
from orchestrator.store import jobs, runs, usage

NODES = tuple(NodeFacts(name, 2, 2, cpus=4, memory=2**36, cpus_free=4) for name in ("n1", "n2", "n3"))
EMPTY = Capacity(6, 6, 6, "gpu", NODES, cores_apart=True, counted_at=1.0)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk.at(tmp_path)
    tell(made, EMPTY)
    return made


def tell(desk: Desk, capacity: Capacity) -> None:
    """The engine says that it has this."""
    desk.world.backend.capacity = lambda: capacity  # type: ignore[method-assign]


def both(desk: Desk) -> tuple[str, str]:
    """A job of cores alone and one of GPUs run."""
    cores = desk.world.submit(resources={"workers": 8})
    gpus = desk.world.submit(resources={"workers": 2, "gpus_per_worker": 1, "cpus_per_worker": 2})
    desk.running(cores, "n1", "n2")
    desk.running(gpus, "n3")
    return cores, gpus


def test_workers_without_a_gpu_take_no_slots_and_as_many_fit_as_there_are_cores(desk: Desk) -> None:
    job = desk.world.submit(resources={"workers": 12})
    assert desk.world.record(job).slots_per_worker == 0
    with pytest.raises(UsageError, match="at least 13 workers with 1 core each; cluster simulated has room for 12"):
        desk.world.submit(resources={"workers": 13})


def test_all_views_agree_on_what_a_job_of_cores_and_one_of_gpus_use(desk: Desk) -> None:
    cores, gpus = both(desk)
    site, questions = desk.world.service.site, desk.questions
    queue, nodes = questions.queue(), questions.nodes()
    assert (queue.slots.total, queue.slots.used, queue.slots.free, queue.slots.held_by_others) == (6, 2, 4, 0)
    assert (queue.slots.cpus, queue.slots.cpus_used, queue.slots.cpus_free) == (12, 12, 0)
    assert sum((line.workers or 0) * line.slots for line in queue.running) == queue.slots.used
    assert sum((line.workers or 0) * line.cpus for line in queue.running) == queue.slots.cpus_used
    assert [(node.used, node.free, node.cpus_used, node.cpus_free) for node in nodes] == [
        (0, 2, 4, 0),
        (0, 2, 4, 0),
        (2, 0, 4, 0),
    ]
    assert [(team.used, team.cpus_used, team.running) for team in queue.teams] == [(2, 12, 2)]
    status = Engine(
        site.profile, site.backend, desk.world.service, questions, desk.world.controller, site.runs_root
    ).slot_count()
    assert status == queue.slots
    assert questions.why(cores).reason.startswith("holds 8 cores on n1 (4) and n2 (4), in Simulated")
    assert questions.why(gpus).reason.startswith("holds 2 gpu slots on n3, in Simulated")
    assert [wants_text(line) for line in queue.running] == ["1 core x 8", "1 x 2"]
    text = queue_text(queue, teams=True)
    assert "2 of 6 gpu slots used, 4 free; 12 of 12 cores used, 0 free; 2 jobs on them" in text
    assert "TEAM     GPU SLOTS  CORES  RUN" in text


def test_the_views_agree_also_once_the_engine_has_counted_the_same_jobs(desk: Desk) -> None:
    both(desk)
    before = desk.questions.queue().slots
    busy = [replace(node, free=2 if node.name != "n3" else 0, cpus_free=0) for node in NODES]
    tell(desk, replace(EMPTY, free=4, nodes=tuple(busy)))
    desk.questions.forget()
    assert desk.questions.queue().slots == before


def test_a_team_is_charged_for_no_gpu_that_it_does_not_have(desk: Desk) -> None:
    cores, gpus = both(desk)
    site = desk.world.service.site
    desk.world.clock.advance(100.0)
    with site.store.write() as connection:
        for job in (cores, gpus):
            charge(connection, site, runs.newest_of(connection, job))  # type: ignore[arg-type]
        assert (jobs.open_job(connection, cores).attained, jobs.open_job(connection, gpus).attained) == (0.0, 200.0)
        assert [used.slot_seconds for used in usage.all(connection)] == [200.0]


def test_what_others_hold_is_told_with_the_time_of_the_count(desk: Desk) -> None:
    assert desk.questions.queue().notes == []
    taken = replace(NODES[0], free=0, cpus_free=2)
    tell(desk, replace(EMPTY, free=4, nodes=(taken, *NODES[1:])))
    desk.questions.forget()
    queue, node = desk.questions.queue(), desk.questions.nodes()[0]
    assert (queue.slots.held_by_others, queue.slots.free, queue.slots.cpus_free) == (2, 4, 10)
    (note,) = queue.notes
    assert note.startswith("what others hold is what Simulated said of its nodes at 1970-01-01 00:00:01 UTC: ")
    assert node.others == "2 gpu slots held by others, or by what has ended since 1970-01-01 00:00:01 UTC"


def test_growth_of_a_training_on_cores_is_as_wide_as_the_cores_of_a_node(desk: Desk) -> None:
    job = desk.world.train(workers="1..4")
    assert workers_on_a_node(EMPTY, desk.world.record(job)) == 4
    two = desk.world.submit(resources={"workers": 1, "cpus_per_worker": 2})
    assert workers_on_a_node(EMPTY, desk.world.record(two)) == 2


def test_what_the_engine_can_never_lay_out_is_refused_at_submit_also_among_many(desk: Desk) -> None:
    def refuse(request: object) -> None:
        raise LaunchRefused("5 workers do not fit in equal shares", hint="ask for 4")

    desk.world.backend.plan = refuse  # type: ignore[assignment,method-assign]
    requests = [desk.world.request(resources={"workers": 1}), desk.world.request(resources={"workers": 5})]
    with pytest.raises(UsageError, match="job: 5 workers do not fit in equal shares"):
        desk.world.service.submit_many(requests, "ada")
    assert desk.world.service.list() == []
