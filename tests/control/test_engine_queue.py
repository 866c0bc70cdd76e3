"""What people see of a queue that the engine itself serves: why, queue, nodes, what if."""

from dataclasses import replace
from pathlib import Path

import pytest
from engine_queue_kit import Desk

from orchestrator.backends.protocol import AllocationState, Observation, Wait
from orchestrator.base.errors import BackendUnavailable, Conflict, LaunchRefused, NotFound
from orchestrator.base.paths import bundled
from orchestrator.lifecycle.reasons import engine_silent
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.spec.answers import EstimateView, WhatIfRequest
from orchestrator.store import jobs

DAY = 86_400.0


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk.at(tmp_path)


def commands(desk: Desk, job: str) -> list[str]:
    return [remedy.command for remedy in desk.questions.why(job).remedies]


def silence(desk: Desk, state: JobState) -> None:
    with desk.world.service.site.store.write() as connection:
        text = engine_silent("simulated", 0.0, "squeue says nothing").text
        jobs.set_reason_of_all(connection, {state}, text)


def test_a_job_that_nothing_keeps_here_is_handed_over_at_once(desk: Desk) -> None:
    why = desk.questions.why(desk.world.submit())
    assert (why.state, why.kind) == ("queued", "starts")
    assert "is handed to Simulated with the next pass" in why.reason
    assert why.position is None


def test_a_held_job_says_how_it_is_released(desk: Desk) -> None:
    job = desk.world.submit()
    desk.world.service.hold(job, "otto")
    why = desk.questions.why(job)
    assert (why.kind, why.expected_start) == ("held", None)
    assert commands(desk, job) == [f"orchestrator release {job}"]
    assert any("held by otto" in detail for detail in why.details)


def test_a_dependency_is_named_with_its_state(desk: Desk) -> None:
    first = desk.world.submit()
    second = desk.world.submit(depends_on=[first])
    desk.pending(first)
    why = desk.questions.why(second)
    assert (why.kind, why.reason) == ("dependency", f"waits until {first} has succeeded")
    assert why.details[0] == f"{first} is starting"
    assert commands(desk, second) == [f"orchestrator why {first}"]


def test_a_back_off_says_when_it_ends(desk: Desk) -> None:
    job, until = desk.world.submit(), desk.world.clock.now() + 60
    with desk.world.service.site.store.write() as connection:
        jobs.set_columns(connection, jobs.get(connection, job), not_before=until, failures={"infrastructure": 1})
    why = desk.questions.why(job)
    assert (why.kind, why.expected_start and why.expected_start.at) == ("backoff", until)
    assert "failed once" in why.reason


def test_only_jobs_that_may_start_are_counted_before_one(tmp_path: Path) -> None:
    desk = Desk.at(tmp_path, slurm={"waiting": 1}, limits={"priority": 10})
    desk.pending(first := desk.world.submit())
    held, dependent, later = (desk.world.submit(priority=5, depends_on=needs) for needs in ([], [first], []))
    desk.world.service.hold(held, "otto")
    with desk.world.service.site.store.write() as connection:
        row, until = jobs.get(connection, later), desk.world.clock.now() + 60
        jobs.set_columns(connection, row, not_before=until, failures={"infrastructure": 1})
    mine = desk.world.submit()
    why = desk.questions.why(mine)
    assert (why.position, why.queue, why.before) == (1, 1, [])
    assert "it is number 1 of those that follow" in why.reason
    lines = {line.job: line.position for line in desk.questions.queue().waiting}
    assert lines == {mine: 1, held: None, dependent: None, later: None}


def test_where_as_many_wait_in_the_engine_as_may_the_next_ones_are_told_their_place(tmp_path: Path) -> None:
    desk = Desk.at(tmp_path, slurm={"waiting": 1}, limits={"priority": 10})
    desk.pending(desk.world.submit())
    low, high = desk.world.submit(), desk.world.submit(priority=5)
    why = desk.questions.why(low)
    assert (why.kind, why.position, why.queue) == ("full", 2, 2)
    assert [line.job for line in why.before] == [high]
    assert "as many of our allocations wait in Simulated as may (1; slurm.waiting is 1)" in why.reason
    assert f"orchestrator priority {low} N" in commands(desk, low)
    assert [line.job for line in desk.questions.queue().waiting] == [high, low]


def test_a_job_that_waits_in_the_engine_is_told_as_what_where_and_why(desk: Desk) -> None:
    job, start = desk.world.submit(), desk.world.clock.now() + 600
    held = Wait("QOSMaxJobs", "its QOS runs as many jobs as it may", "ask for a higher limit", "sacctmgr …", start)
    desk.pending(job, held)
    why = desk.questions.why(job)
    assert (why.state, why.kind, why.engine_id, why.partition) == ("starting", "handed", "1234", "batch")
    assert why.reason.startswith("waits in Simulated as job 1234 (partition batch) since ")
    assert "its QOS runs as many jobs as it may; Simulated expects to start it at " in why.reason
    assert why.expected_start is not None
    assert why.expected_start.at == start
    assert [(r.text, r.command) for r in why.remedies] == [("ask for a higher limit", "sacctmgr …")]


def test_where_others_come_first_a_higher_priority_is_told(desk: Desk) -> None:
    job = desk.world.submit()
    desk.pending(job)
    assert commands(desk, job) == [f"orchestrator priority {job} N"]


def test_a_job_without_a_reason_of_the_engine_has_an_answer_all_the_same(desk: Desk) -> None:
    job = desk.world.submit()
    desk.pending(job, None)
    assert "Simulated gives no reason" in desk.questions.why(job).reason


def test_a_run_that_the_engine_has_not_taken_yet_says_what_keeps_it(desk: Desk) -> None:
    job = desk.world.submit()
    desk.hand_over(job, run_state=RunState.CREATED)
    with desk.world.service.site.store.write() as connection:
        jobs.set_reasons(connection, {job: "the engine has not accepted it yet: too many jobs"}, JobState.STARTING)
    why = desk.questions.why(job)
    assert "Simulated has not taken it yet" in why.reason
    assert why.details[0] == "the engine has not accepted it yet: too many jobs"


@pytest.mark.parametrize("state", [AllocationState.UNKNOWN, AllocationState.ABSENT, AllocationState.ENDED])
def test_a_run_of_which_the_engine_says_little_has_an_answer(desk: Desk, state: AllocationState) -> None:
    job = desk.world.submit()
    desk.seen[desk.hand_over(job)] = Observation(state, detail="accounting is away")
    why = desk.questions.why(job)
    assert why.kind == "handed"
    assert "Simulated has" in why.reason
    assert "accounting is away" in why.reason


def test_while_the_engine_is_silent_that_is_said_beside_what_was_known(desk: Desk) -> None:
    job = desk.world.submit()
    desk.pending(job)
    silence(desk, JobState.STARTING)
    why = desk.questions.why(job)
    assert (why.kind, why.expected_start, why.remedies) == ("engine", None, [])
    assert "unknown since 1970-01-01 00:00:00 UTC: the engine simulated does not answer" in why.reason
    assert why.details[0].startswith("before that: waits in Simulated as job 1234")


def test_who_waits_for_another_job_does_so_while_the_engine_is_silent(desk: Desk) -> None:
    first = desk.world.submit()
    second = desk.world.submit(depends_on=[first])
    silence(desk, JobState.QUEUED)
    why = desk.questions.why(second)
    assert why.kind == "dependency"
    assert why.details[0].startswith("unknown since ")


def test_a_held_job_that_the_engine_has_says_so(desk: Desk) -> None:
    job = desk.world.submit()
    desk.pending(job, Wait("JobHeldUser", "it is held", "release it", "scontrol release 1234"))
    with desk.world.service.site.store.write() as connection:
        jobs.move(connection, jobs.get(connection, job), JobState.HELD, reason="held by otto", time=1.0)
    why = desk.questions.why(job)
    assert (why.state, why.kind) == ("held", "held")
    assert commands(desk, job) == [f"orchestrator release {job}"]
    assert desk.questions.queue().held == 1


def test_a_running_job_is_told_where_how_wide_and_what_should_join_it(desk: Desk) -> None:
    job = desk.world.train(workers="2..4")
    base = desk.running(job, "n1", world_size=2)
    desk.grows(base, 100, AllocationState.PENDING, waits=Wait("Resources", "too few nodes are free"))
    why = desk.questions.why(job)
    assert (why.workers, why.workers_min, why.workers_max, why.engine_id) == (2, 2, 4, "1234")
    assert why.reason == (
        "holds 2 cpu slots on n1, in Simulated as job 1234 (partition batch); 2 workers of 2..4; "
        "1 allocation of one node waits in Simulated to join it: too few nodes are free"
    )
    assert any(f"{job}-r1.100 waits in Simulated as job 12100 (partition spare)" in detail for detail in why.details)


def test_what_has_joined_a_run_may_be_taken_back(desk: Desk) -> None:
    job = desk.world.train(workers="2..4")
    base = desk.running(job, "n1", world_size=4)
    desk.grows(base, 100, AllocationState.RUNNING, nodes=("n2",))
    why = desk.questions.why(job)
    assert "4 workers of 2..4: the most it asked for" in why.reason
    assert any("runs on n2" in detail and "may take it back at any moment" in detail for detail in why.details)


def test_a_run_goes_on_without_its_first_allocation(desk: Desk) -> None:
    job = desk.world.train(workers="1..4")
    base = desk.running(job, "n1", world_size=1)
    desk.seen[base] = Observation(AllocationState.ENDED, "infrastructure", "node n1 failed")
    desk.grows(base, 100, AllocationState.RUNNING, nodes=("n2",))
    details = desk.questions.why(job).details
    assert any("its first allocation is over (node n1 failed)" in detail for detail in details)


def test_a_run_that_is_over_and_has_not_said_how_is_waited_for(desk: Desk) -> None:
    job = desk.world.train(workers="1..4")
    base = desk.running(job, "n1", world_size=1)
    desk.seen[base] = Observation(AllocationState.ENDED, "infrastructure", "ended as COMPLETED", by_itself=True)
    details = desk.questions.why(job).details
    assert "its first allocation is over (ended as COMPLETED); how it ended is not seen yet" in details


def test_where_the_profile_lets_nothing_grow_that_is_said(tmp_path: Path) -> None:
    desk = Desk.at(tmp_path, slurm={})
    job = desk.world.train(workers="2..4")
    desk.running(job, "n1", world_size=2, wanted=2)
    assert "it gets no more: the profile has no `slurm.growth`" in desk.questions.why(job).reason


def test_the_end_that_the_user_set_is_told_as_such(desk: Desk) -> None:
    job = desk.world.submit(time_limit="1h")
    desk.running(job, "n1", ends=desk.world.clock.now() + 3780, time_limit=3600.0)
    why = desk.questions.why(job)
    (told,) = [detail for detail in why.details if "its time limit of 60 min is over at" in detail]
    assert "it is asked to stop then, and begins again only where retry.time_limit allows that" in told
    assert told.endswith("at the latest, 3 min later")
    assert why.expected_end is not None
    assert why.expected_end.latest == desk.world.clock.now() + 3600


def test_the_end_of_what_the_engine_was_asked_for_is_not_that_of_the_job(desk: Desk) -> None:
    job = desk.world.train(workers="1..2")
    desk.running(job, "n1", ends=desk.world.clock.now() + 600, world_size=1)
    details = desk.questions.why(job).details
    assert any("it saves its state, stops, and goes on as another run" in detail for detail in details)


def test_the_queue_tells_apart_what_runs_what_waits_there_and_what_waits_here(desk: Desk) -> None:
    running, pending, held = desk.world.submit(), desk.world.submit(), desk.world.submit()
    desk.running(running, "n1")
    desk.pending(pending)
    desk.world.service.hold(held)
    desk.questions.forget()
    queue = desk.questions.queue()
    assert (queue.engine, queue.policy, queue.held) == ("simulated", "", 1)
    assert [line.job for line in queue.running] == [running]
    assert [(line.job, line.engine_id, line.partition) for line in queue.pending] == [(pending, "1234", "batch")]
    assert queue.pending[0].reason == "jobs of higher priority come first"
    assert [(line.job, line.state, line.reason) for line in queue.waiting] == [(held, "held", "held")]
    assert (queue.slots.total, queue.slots.used, queue.slots.free) == (8, 1, 7)


def test_a_job_that_is_being_cancelled_says_that_and_nothing_else(desk: Desk) -> None:
    pending, running = desk.world.submit(), desk.world.submit()
    desk.pending(pending)
    desk.running(running, "n1")
    for job in (pending, running):
        desk.world.service.cancel(job, "otto")
        desk.questions.forget()
        why = desk.questions.why(job)
        assert (why.state, why.kind, why.expected_start) == ("cancelling", "", None)
        assert why.reason.startswith("cancelled by otto")
    queue = desk.questions.queue()
    assert [line.reason for line in (*queue.pending, *queue.running)] == [why.reason] * 2


def test_the_queue_of_one_team_and_its_first_jobs(desk: Desk) -> None:
    ours = [desk.world.submit(team="vision") for _ in range(3)]
    theirs = desk.world.submit(team="speech")
    for job in (*ours[:2], theirs):
        desk.pending(job)
    queue = desk.questions.queue(team="vision", limit=1)
    assert (len(queue.pending), queue.pending_total) == (1, 2)
    assert (len(queue.waiting), queue.waiting_total) == (1, 1)
    assert {team.team: (team.waiting, team.running) for team in queue.teams} == {"vision": (3, 0), "speech": (1, 0)}
    with pytest.raises(NotFound, match="no team 'audio'"):
        desk.questions.queue(team="audio")


def test_a_queue_whose_engine_is_silent_is_shown_all_the_same(desk: Desk) -> None:
    desk.running(desk.world.submit(), "n1")
    desk.world.backend.available = False
    queue = desk.questions.queue()
    assert (len(queue.running), queue.slots.used, queue.slots.total) == (1, 1, 0)
    assert "does not answer" in queue.notes[0]
    with pytest.raises(BackendUnavailable):
        desk.questions.nodes()


def test_nodes_are_as_the_engine_tells_them_with_what_of_ours_is_on_them(desk: Desk) -> None:
    job = desk.world.train(workers="3..8")
    desk.running(job, "n1", "n2", world_size=3)
    desk.world.backend.held_by_others = {"n1": 3}
    first, second = desk.questions.nodes()
    assert (first.name, first.used, first.held_by_others, first.free) == ("n1", 2, 1, 1)
    assert (first.jobs, second.jobs) == ({job: 2}, {job: 1})


def test_a_node_that_the_engines_operator_has_drained_is_told_with_the_reason(desk: Desk) -> None:
    node = desk.world.backend.nodes["n1"]
    desk.world.backend.nodes["n1"] = replace(node, up=False, drained=True, note="drained in Slurm: a loud fan")
    elastic, command = desk.world.train(workers="1..4"), desk.world.submit()
    desk.running(elastic, "n1", world_size=1)
    desk.running(command, "n1", world_size=1)
    (first, _) = desk.questions.nodes()
    assert (first.state, first.note) == ("drained", "drained in Slurm: a loud fan")
    told = "node n1 is drained in Slurm: a loud fan: workers there"
    assert f"{told} leave it where enough are elsewhere" in desk.questions.why(elastic).details
    assert f"{told} stay to the end" in desk.questions.why(command).details


def test_drains_are_the_engines_own_and_the_refusal_says_what_to_type(desk: Desk) -> None:
    with pytest.raises(Conflict) as refused:
        desk.world.service.drain("n1", "fan is loud; rm -rf", "otto")
    assert "scontrol update nodename=n1 state=drain 'reason=fan is loud; rm -rf'" in refused.value.hint
    with pytest.raises(Conflict, match="nothing was changed"):
        desk.world.service.resume("n1", "otto")


def test_a_saved_snapshot_is_refused_with_what_to_send_instead(desk: Desk) -> None:
    with pytest.raises(Conflict) as refused:
        desk.questions.snapshot()
    assert "orchestrator why JOB --json" in refused.value.hint


SOURCE = "name: x\ncommand: [x]\nresources: {workers: 1..4}\n"


def test_what_if_asks_the_engine_for_each_width(desk: Desk) -> None:
    now = desk.world.clock.now()
    asked = desk.expects(now + 60, now - 5, LaunchRefused("no partition has 2 nodes"), None)
    estimate = EstimateView(seconds=100.0, exponent=1.0)
    view = desk.questions.what_if(WhatIfRequest(source=SOURCE, estimate=estimate))
    assert (view.engine, view.policy, view.live) == ("simulated", "", True)
    assert [(r.terms.workers_min, r.terms.workers_max) for r in asked if r.terms] == [(1, 4), (1, 1), (2, 2), (4, 4)]
    as_written, one, two, four = view.options
    assert as_written.start is not None
    assert (as_written.start.at, as_written.end and as_written.end.at) == (now + 60, now + 160)
    assert (one.waits, one.end and one.end.at) == (0.0, now + 400)
    assert (two.start, two.reason) == (None, "refused: no partition has 2 nodes")
    assert four.reason == "Simulated does not say when"


def test_what_if_asks_for_as_much_memory_as_the_caller_reckons_where_the_workload_does_not_say(desk: Desk) -> None:
    asked = desk.expects(None, None)
    said = SOURCE.replace("1..4", "1, memory_per_worker: 2GiB")
    for source in (SOURCE.replace("1..4", "1"), said):
        desk.questions.what_if(WhatIfRequest(source=source, memory=2**30))
    assert [request.terms and request.terms.needs.memory for request in asked] == [2**30, 2**31]


def test_an_elastic_workload_begins_with_its_fewest_workers(desk: Desk) -> None:
    asked = desk.expects(None, None, None, None)
    source = (bundled("workloads") / "regnet_cifar10.yaml").read_text()
    view = desk.questions.what_if(WhatIfRequest(source=source, overrides=["resources.workers=2..4"]))
    first = asked[0]
    assert first.terms is not None
    assert (first.terms.workers_min, first.terms.workers_max, first.launch.workers) == (2, 4, 2)
    assert view.options[0].workers == 2
    assert any("it begins with 2 of up to 4 workers" in note for note in view.notes)


def test_once_the_engine_is_silent_it_is_asked_no_more(desk: Desk) -> None:
    asked = desk.expects(BackendUnavailable("sbatch did not answer"))
    view = desk.questions.what_if(WhatIfRequest(source=SOURCE))
    assert len(asked) == 1
    assert {option.start for option in view.options} == {None}
    assert any("was not asked when it would start: sbatch did not answer" in note for note in view.notes)


def test_one_job_is_shown_with_why_it_waits_and_when_it_should_start(desk: Desk) -> None:
    job, start = desk.world.submit(), desk.world.clock.now() + 600
    desk.pending(job, Wait("Resources", "too few nodes are free", start=start))
    view = desk.questions.whole(desk.world.job(job))
    assert view.expected_start == start
    assert view.reason == "too few nodes are free"
    assert view.phase.startswith("waits in Simulated as job 1234 (partition batch), for ")
    assert [filled.reason for filled in desk.questions.fill([desk.world.job(job)])] == ["too few nodes are free"]


def test_a_run_that_the_engine_has_started_and_that_says_nothing_yet_says_where_it_is(desk: Desk) -> None:
    job = desk.world.submit()
    desk.seen[desk.hand_over(job)] = Observation(AllocationState.RUNNING, engine_id="1234", nodes=("n1", "n2"))
    why = desk.questions.why(job)
    assert "it has been started in Simulated as job 1234 on n1, n2, and its agent has not reported yet" in why.phase
