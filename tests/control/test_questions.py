"""What people ask of the live queue: why, the queue, the nodes, what if; and what asking often costs."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.errors import BackendUnavailable, Conflict, NotFound, SpecError, UsageError
from orchestrator.control.questions import Questions
from orchestrator.control.site import Site
from orchestrator.control.snapshot import BELIEVED_AFTER, current_snapshot
from orchestrator.planning import outlook
from orchestrator.planning.casefile import CaseFile
from orchestrator.scheduling.cluster import Node, Window
from orchestrator.scheduling.jobs import Estimate, Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.answers import EstimateView, WhatIfRequest
from orchestrator.testing.world import World

WIDE = {"resources": {"workers": 2}}


@pytest.fixture
def questions(world: World) -> Questions:
    return Questions(world.service.site)


def long_job(world: World, **document: object) -> str:
    return world.submit("start", *["wait"] * 50, "succeed", **document)


def test_a_job_that_waits_is_told_what_for_since_when_and_who_is_before_it(world: World, questions: Questions) -> None:
    running = long_job(world, **WIDE)
    world.step()
    first, second = world.submit(**WIDE), world.submit(**WIDE)
    world.step(2)
    why = questions.why(second)
    assert (why.state, why.position, why.queue) == ("queued", 2, 2)
    assert [line.job for line in why.before] == [first]
    assert "2 cpu slots" in why.reason
    assert f"orchestrator cancel {running}" in [remedy.command for remedy in questions.why(first).remedies]
    assert why.since == world.job(second).created_at


def test_a_stated_remedy_starts_the_job(world: World, questions: Questions) -> None:
    running = long_job(world, **WIDE)
    world.step()
    waiting = long_job(world, **WIDE)
    world.step()
    commands = [remedy.command for remedy in questions.why(waiting).remedies]
    assert f"orchestrator cancel {running}" in commands
    world.service.cancel(running)
    world.step(4)
    assert world.state(waiting) in {"starting", "running"}


def test_a_job_behind_another_one_is_told_until_when_it_should_wait(world: World) -> None:
    def with_estimates(site: Site, capacity: Capacity) -> Snapshot:
        found = current_snapshot(site)
        running = tuple(replace(r, job=replace(r.job, estimate=Estimate(600.0, 0.0))) for r in found.running)
        pending = tuple(replace(job, estimate=Estimate(60.0, 0.0)) for job in found.pending)
        return replace(found, running=running, pending=pending)

    running = long_job(world, **WIDE)
    world.step()
    first, second = world.submit(**WIDE), world.submit(**WIDE)
    world.step(2)
    wait, *tried = Questions(world.service.site, snapshots=with_estimates).why(second).remedies
    assert wait.text.startswith("wait until about ")
    assert wait.text.endswith(f"2 jobs ({running}, {first}) should end before it")
    assert not wait.proved
    assert all(remedy.proved for remedy in tried)


def test_a_held_job_says_so_and_how_it_is_released(world: World, questions: Questions) -> None:
    job = world.submit()
    world.service.hold(job, "otto")
    why = questions.why(job)
    assert (why.state, why.expected_start) == ("held", None)
    assert f"orchestrator release {job}" in [remedy.command for remedy in why.remedies]
    assert any("held by otto" in detail for detail in why.details)


def test_a_running_job_says_where_and_why_it_is_so_wide(world: World, questions: Questions) -> None:
    job = long_job(world, **WIDE)
    world.step(3)
    why = questions.why(job)
    assert (why.state, why.workers, why.position) == ("running", 2, None)
    assert "localhost" in why.reason


@pytest.mark.parametrize(
    ("script", "state", "command"),
    [(("start", "fail:permanent"), "failed", "retry"), (("start", "succeed"), "succeeded", "results")],
)
def test_a_job_that_is_over_says_what_happened_and_what_to_do(
    world: World, questions: Questions, script: tuple[str, ...], state: str, command: str
) -> None:
    job = world.submit(*script, retry={"application": 0})
    world.finish()
    why = questions.why(job)
    assert why.state == world.state(job)
    assert why.since == world.job(job).finished_at
    assert [r.command.split()[1] for r in why.remedies][-1] in {"retry", "results"}


def test_the_output_of_a_failed_job_is_named_where_there_is_any(world: World, questions: Questions) -> None:
    refused, failed = world.submit("refuse"), world.submit("start", "fail:permanent")
    world.finish()
    log = world.run_directory(failed).logs / "rank-0.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("Traceback\n")
    asked = {job: [remedy.command.split()[1] for remedy in questions.why(job).remedies] for job in (refused, failed)}
    assert asked == {refused: ["retry"], failed: ["logs", "retry"]}


def test_a_cancelled_job_can_be_queued_again(world: World, questions: Questions) -> None:
    job = world.submit()
    world.service.cancel(job)
    assert [remedy.command for remedy in questions.why(job).remedies] == [f"orchestrator retry {job}"]


def test_who_cancelled_a_job_is_told(world: World, questions: Questions) -> None:
    running = long_job(world)
    world.step(3)
    waiting = world.submit()
    for job in (running, waiting):
        world.service.cancel(job, "ann")
    world.finish()
    assert questions.why(running).reason == "cancelled by ann; its slots are free"
    assert questions.why(waiting).reason == "cancelled by ann before it began"


def test_an_unknown_job_is_not_found(questions: Questions) -> None:
    with pytest.raises(NotFound, match="no job"):
        questions.why("j-nope")


def test_the_queue_is_in_the_policys_order_with_what_the_slots_do(world: World, questions: Questions) -> None:
    running = long_job(world)
    world.step(2)
    low, high = world.submit(priority=-1, **WIDE), world.submit(priority=7, **WIDE)
    view = questions.queue()
    assert [line.job for line in view.running] == [running]
    assert [(line.job, line.position) for line in view.waiting] == [(high, 1), (low, 2)]
    assert (view.slots.total, view.slots.used, view.slots.free, view.slots.kind) == (2, 1, 1, "cpu")
    assert all(line.reason and line.name == "job" for line in view.waiting)


def test_after_a_change_by_a_person_the_next_answer_shows_it(world: World, questions: Questions) -> None:
    first, second = world.submit(), world.submit()
    assert [line.job for line in questions.queue().waiting] == [first, second]
    world.service.set_priority(second, 5, "otto")
    assert [line.job for line in questions.queue().waiting] == [second, first]


def test_a_team_sees_its_own_jobs_at_their_places_in_the_whole_queue(tmp_path: Path) -> None:
    teams = [{"name": "lab", "weight": 3}, {"name": "video", "parent": "lab", "quota": 1}, {"name": "speech"}]
    world = World(tmp_path, profile={"teams": teams})
    questions = Questions(world.service.site)
    long_job(world, team="video", **WIDE)
    world.step(2)
    speech, video = world.submit(team="speech"), world.submit(team="video")
    view = questions.queue(team="lab")
    assert [(line.job, line.position) for line in view.waiting] == [(video, 2)]
    assert [line.job for line in questions.queue(team="speech").waiting] == [speech]
    found = {team.team: team for team in view.teams}
    assert (found["video"].used, found["lab"].used, found["lab"].waiting, found["speech"].used) == (2, 2, 1, 0)
    assert (found["lab"].share, found["video"].share, found["video"].quota) == (0.75, 0.75, 1)
    with pytest.raises(NotFound, match="no team 'audio'") as error:
        questions.queue(team="audio")
    assert "lab" in error.value.hint


def test_only_the_first_jobs_are_told_where_that_is_asked_for(world: World, questions: Questions) -> None:
    first, *_ = [world.submit() for _ in range(5)]
    view = questions.queue(limit=1)
    assert [line.job for line in view.waiting] == [first]
    assert view.waiting_total == 5


def test_nodes_tell_what_is_on_them_and_who_drained_them(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2, "b": 2})
    questions = Questions(world.service.site)
    job = long_job(world, **WIDE)
    world.step(2)
    world.service.drain("b", "fan is loud", "otto")
    a, b = questions.nodes()
    assert (a.jobs, a.used, a.free) == ({job: 2}, 2, 0)
    assert (b.state, b.note, b.by, b.since) == ("drained", "fan is loud", "otto", world.clock.now())
    assert (b.used, b.free, questions.queue().slots.drained) == (0, 0, 2)


def test_a_node_in_maintenance_has_nothing_free(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2})
    snapshot = current_snapshot(world.service.site)
    closed = tuple(replace(node, windows=(Window(snapshot.now - 60),)) for node in snapshot.nodes)
    questions = Questions(world.service.site, snapshots=lambda site, capacity: replace(snapshot, nodes=closed))
    (node,), queue = questions.nodes(), questions.queue()
    assert (node.state, node.free) == ("maintenance", 0)
    assert (queue.slots.free, queue.slots.drained) == (0, 2)
    assert (questions.slot_count().total, questions.slot_count().free) == (2, 0)


def test_an_emptied_node_sends_its_jobs_elsewhere(tmp_path: Path) -> None:
    world = World(tmp_path, slots={"a": 2, "b": 2})
    questions = Questions(world.service.site)
    job = long_job(world, **WIDE)
    world.step(2)
    (name,) = (node.name for node in questions.nodes() if node.jobs)
    world.service.drain(name, "", "otto")
    assert world.service.evict(name, "otto") == [job]
    assert world.service.evict(name, "otto") == []
    assert any("otto empties node" in detail for detail in questions.why(job).details)
    world.step(20)
    (other,) = (node.name for node in questions.nodes() if node.jobs)
    assert other != name
    assert questions.why(job).state == "running"


def what_if(**fields: object) -> WhatIfRequest:
    source = "name: mine\ncommand: [train]\nresources: {workers: 1..2}\n"
    return WhatIfRequest.model_validate({"source": source, "estimate": EstimateView(seconds=600, error=0.5)} | fields)


def test_what_if_tells_when_it_would_start_for_several_widths_and_queues_nothing(
    world: World, questions: Questions
) -> None:
    long_job(world)
    world.step(2)
    view = questions.what_if(what_if())
    assert [(o.workers_min, o.workers_max) for o in view.options] == [(1, 2), (1, 1), (2, 2)]
    now, alone, wide = view.options
    assert (now.workers, now.waits, alone.workers) == (1, 0, 1)
    assert wide.workers is None
    assert "needs 2" in wide.reason
    assert (view.live, view.position, view.waiting) == (True, 1, 0)
    assert len(world.service.list()) == 1


def test_what_if_names_who_would_be_stopped_also_where_nobody_knows_how_long_they_take(tmp_path: Path) -> None:
    policy = {"preset": "priority", "preemption": {"min_run": 0}}
    world = World(tmp_path, profile={"policy": policy})
    running = long_job(world, **WIDE)
    world.step(3)
    source = "name: mine\ncommand: [train]\npriority: 9\nresources: {workers: 2}\n"
    (option,) = Questions(world.service.site).what_if(what_if(source=source, estimate=None)).options
    assert (option.stopped, option.workers) == ([running], None)
    assert option.reason == "until they have made room"


def test_no_remedy_adds_nodes_where_the_engine_has_one(world: World, questions: Questions) -> None:
    long_job(world, **WIDE)
    world.step(2)
    waiting = world.submit(**WIDE)
    remedies = questions.why(waiting).remedies
    assert remedies
    assert not [remedy for remedy in remedies if remedy.text.startswith("add ")]


def test_slots_that_another_server_holds_are_told_by_the_queue_the_nodes_and_why(tmp_path: Path) -> None:
    world = World(tmp_path, slots=4)
    world.backend.held_by_others = {"localhost": 3}
    waiting, questions = world.submit(**WIDE), Questions(world.service.site)
    said = "3 of 4 cpu slots of localhost are held by another server: somebody"
    queue, (node,) = questions.queue(), questions.nodes()
    assert (queue.slots.total, queue.slots.free, queue.slots.held_by_others, queue.notes) == (4, 1, 3, [said])
    assert (node.slots, node.free, node.held_by_others, node.others) == (4, 1, 3, said)
    why = questions.why(waiting)
    assert why.details[0] == said
    assert why.reason.startswith("others hold slots that it needs: needs 2 cpu slots")
    assert why.remedies[0].text.startswith("wait until somebody is over; ")
    assert questions.fill([world.job(waiting)])[0].reason == "others hold slots that it needs; position 1 of 1"
    assert questions.whole(world.job(waiting)).reason == f"others hold slots that it needs: {said}; position 1 of 1"
    assert queue.waiting[0].reason == "others hold slots that it needs"


def test_a_job_too_large_even_without_others_is_not_told_that_they_hold_what_it_needs(tmp_path: Path) -> None:
    world = World(tmp_path, slots=4)
    huge = world.submit(resources={"workers": 4})
    world.backend.nodes = {"localhost": NodeFacts("localhost", 3, 3)}
    world.backend.held_by_others = {"localhost": 1}
    questions = Questions(world.service.site)
    assert questions.why(huge).reason.startswith("needs 4 ")
    assert questions.queue().waiting[0].reason == "too large for the cluster"


def test_slots_that_are_missing_for_a_moment_are_no_others_until_the_controller_believes_it(world: World) -> None:
    controller = world.controller
    controller.step()
    questions = Questions(world.service.site, believed=controller.held_by_others)
    world.backend.held_by_others = {"localhost": 1}
    world.submit(**WIDE)
    controller.step()
    assert questions.queue().notes == []
    world.clock.advance(BELIEVED_AFTER)
    controller.step()
    questions.forget()
    assert questions.queue().slots.held_by_others == 1


def test_what_if_takes_the_widths_that_are_asked_for(questions: Questions) -> None:
    view = questions.what_if(what_if(workers=[2, 16]))
    assert [(o.workers_min, o.workers_max) for o in view.options] == [(1, 2), (2, 2), (16, 16)]
    assert view.options[2].start is None


def test_what_if_refuses_a_wrong_workload(questions: Questions) -> None:
    with pytest.raises(SpecError, match="nmae"):
        questions.what_if(what_if(source="nmae: x\ncommand: [x]\n"))


def test_lists_tell_in_few_words_why_jobs_wait_and_one_job_at_length(world: World, questions: Questions) -> None:
    long_job(world, **WIDE)
    world.step(2)
    waiting = world.submit(**WIDE)
    short = questions.fill([world.job(waiting)])[0].reason
    whole = questions.whole(world.job(waiting)).reason
    assert short.endswith("; position 1 of 1")
    assert whole.endswith("; position 1 of 1")
    assert len(short) < len(whole)


def test_where_the_engine_is_silent_views_stay_as_they_are(world: World) -> None:
    def silent(site: Site, capacity: Capacity) -> Snapshot:
        raise BackendUnavailable("no answer")

    questions = Questions(world.service.site, snapshots=silent)
    view = world.job(world.submit())
    assert questions.fill([view]) == [view]
    assert questions.whole(view) == view
    with pytest.raises(BackendUnavailable):
        questions.queue()


def test_where_the_engine_is_silent_why_says_so_beside_what_is_stored(world: World) -> None:
    def silent(site: Site, capacity: Capacity) -> Snapshot:
        raise BackendUnavailable("no answer")

    job = world.submit()
    why = Questions(world.service.site, snapshots=silent).why(job)
    assert (why.state, why.kind, why.remedies) == ("queued", "engine", [])
    assert "does not answer (no answer)" in why.reason


def test_what_changes_while_somebody_looks_is_in_the_next_answer(world: World) -> None:
    taken: list[Snapshot] = []

    def disturbed(site: Site, capacity: Capacity) -> Snapshot:
        taken.append(current_snapshot(site))
        if len(taken) == 1:  # a person changes something, and looking took long
            questions.forget()
            world.clock.advance(60)
        return taken[-1]

    questions = Questions(world.service.site, snapshots=disturbed)
    questions.queue()
    questions.queue()
    assert len(taken) == 2


def test_who_watches_a_running_job_costs_no_look(world: World) -> None:
    job = long_job(world)
    world.step(3)
    taken: list[Site] = []
    questions = Questions(
        world.service.site, snapshots=lambda site, capacity: taken.append(site) or current_snapshot(site)
    )
    view = world.job(job)
    assert questions.fill([view], max_age=1.0) == [view]
    assert questions.whole(view) == view
    assert taken == []


def test_those_who_only_watch_share_a_look_that_takes_long(world: World) -> None:
    taken: list[Snapshot] = []

    def slow(site: Site, capacity: Capacity) -> Snapshot:
        taken.append(current_snapshot(site))
        world.clock.advance(0.3)
        return taken[-1]

    questions = Questions(world.service.site, snapshots=slow)
    view = world.job(world.submit())
    for _ in range(5):
        questions.fill([view])
        world.service.set_priority(world.submit(), 3)
    assert len(taken) == 1


def test_one_what_if_is_answered_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.control.looking._PATIENCE", 0.01)
    refused: list[Conflict] = []

    def within(site: Site, capacity: Capacity) -> Snapshot:
        with pytest.raises(Conflict, match="too many people") as error:
            questions.what_if(what_if())
        refused.append(error.value)
        return current_snapshot(site)

    questions = Questions(world.service.site, snapshots=within)
    assert questions.what_if(what_if()).live
    assert len(refused) == 1


def test_a_saved_queue_gives_the_same_answers(world: World) -> None:
    running, first, second = long_job(world), world.submit(resources={"workers": 2}), world.submit()
    world.step(3)
    world.service.hold(second)
    questions = Questions(world.service.site)
    case = CaseFile.of(questions.snapshot())
    told = {"details"}  # by the store alone
    for job in (running, first, second):
        assert case.why(job).model_dump(exclude=told) == questions.why(job).model_dump(exclude=told)
    with pytest.raises(NotFound, match="none of the 3 jobs in it"):
        case.why("j-none")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[" * 100_000, '{"policy": {}, "snapshot": 1}', '{"policy": 1, "snapshot": {}}'],
    ids=["nothing", "list", "empty", "deep", "number", "policy"],
)
def test_what_is_no_saved_queue_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError, match="not a snapshot") as error:
        CaseFile.of(text)
    assert error.value.hint
    assert "Error" not in error.value.message


def test_many_who_watch_share_one_look(world: World) -> None:
    taken: list[Snapshot] = []

    def counting(site: Site, capacity: Capacity) -> Snapshot:
        taken.append(current_snapshot(site))
        return taken[-1]

    questions = Questions(world.service.site, snapshots=counting)
    views = [world.job(world.submit()) for _ in range(3)]
    for _ in range(20):
        for view in views:
            questions.fill([view], max_age=1.0)
    assert len(taken) == 1
    late = world.job(world.submit())
    assert "position 4 of 4" in questions.fill([late], max_age=1.0)[0].reason
    assert len(taken) == 2


def test_ten_thousand_jobs_are_explained_once_and_only_the_first_ones_are_played_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = tuple(Job(f"j-{n:05d}", n, 0.0, estimate=Estimate(600.0)) for n in range(10_000))
    snapshot = Snapshot(1_000.0, (Node("a", 8), Node("b", 8)), jobs)
    played: list[int] = []
    explained: list[int] = []
    forecast, reasons = outlook.forecast, outlook.Reasons
    monkeypatch.setattr(outlook, "forecast", lambda s, p, **k: played.append(len(s.pending)) or forecast(s, p, **k))
    monkeypatch.setattr(outlook, "Reasons", lambda *args: explained.append(1) or reasons(*args))
    questions = Questions(world.service.site, snapshots=lambda site, capacity: snapshot)
    for _ in range(3):
        view = questions.queue(limit=50)
        assert (len(view.waiting), view.waiting_total) == (50, 10_000)
    assert explained == [1]
    assert played == [50]
    assert all(line.expected_start is not None for line in view.waiting)
