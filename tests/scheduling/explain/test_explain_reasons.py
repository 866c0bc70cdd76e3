"""Reasons and remedies in words and numbers, case by case."""

from dataclasses import replace

import pytest

from orchestrator.base.errors import NotFound
from orchestrator.lifecycle.reasons import Waiting, utc
from orchestrator.scheduling.cluster import Constraints, Demand, Node, Share, Window
from orchestrator.scheduling.explain import explain, explain_all, explain_running
from orchestrator.scheduling.explain.confirm import starts
from orchestrator.scheduling.explain.types import Cure, Explanation, Remedy
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Team
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption
from orchestrator.spec.presets import preset

NOW = 1_795_269_600.0  # 2026-11-21 14:00:00 UTC
STRICT = Policy(order=Order(by="fifo"), backfill="none")
SKIP = Policy(order=Order(by="fifo"), backfill="skip")
BY_PRIORITY = Policy(order=Order(by="priority"), backfill="none")


def job(number: int, demand: Demand, **told: object) -> Job:
    return replace(Job(f"j-{number}", number, NOW - 600, demand, waits_since=NOW - 600), **told)  # type: ignore[arg-type]


def gang(workers: int) -> Demand:
    return Demand(workers, workers)


def runs(number: int, node: str, workers: int, seconds: float | None = 1200.0, **told: object) -> Running:
    estimate = None if seconds is None else Estimate(seconds + 3600, 0.0)
    its = Job(f"j-{number}", number, NOW - 7200, gang(workers), estimate=estimate)
    run = Running(its, (Share(node, workers),), NOW - 3600, NOW - 3600, NOW - 3600)
    return replace(run, **told)  # type: ignore[arg-type]


def nodes(count: int, slots: int = 8) -> tuple[Node, ...]:
    return tuple(Node(f"n-{i}", slots) for i in range(1, count + 1))


def cures(found: Explanation) -> dict[Cure, Remedy]:
    return {remedy.kind: remedy for remedy in found.remedies}


def test_too_few_slots_are_told_with_what_is_expected_when_and_from_whom() -> None:
    snapshot = Snapshot(NOW, nodes(2), (job(101, gang(16)),), (runs(91, "n-1", 4),))
    found = explain(snapshot, STRICT, "j-101")
    assert found.text == (
        "needs 16 gpu slots on nodes of 8; 12 free; 4 more expected at 2026-11-21 14:20:00 UTC from j-91"
    )
    assert (found.kind, found.expected, found.since) == (Waiting.SLOTS, NOW + 1200, NOW - 600)


def test_where_the_policy_asks_for_more_workers_than_the_job_that_is_said() -> None:
    floor = SKIP.model_copy(update={"elastic": Elastic(floor=0.5)})
    snapshot = Snapshot(NOW, nodes(1), (job(101, Demand(1, 8)),), (runs(91, "n-1", 6),))
    assert "; the policy starts it with 4 workers or more, though 1 would do" in explain(snapshot, floor, "j-101").text
    narrow = replace(snapshot, pending=(job(101, Demand(4, 8)),))
    assert "though" not in explain(narrow, floor, "j-101").text


def test_where_nobody_has_an_idea_of_run_times_that_is_said() -> None:
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8)),), (runs(91, "n-1", 4, None),))
    found = explain(snapshot, STRICT, "j-101")
    assert found.text == "needs 8 gpu slots on one node; 4 free; nobody knows when more will be"
    assert found.expected is None


def test_a_team_over_its_quota_is_told() -> None:
    mine = job(101, gang(8), team="video")
    held = runs(91, "n-1", 8)
    held = replace(held, job=replace(held.job, team="video"))
    snapshot = Snapshot(NOW, nodes(1), (mine,), (held,), (Team("video", quota=0),))
    assert explain(snapshot, STRICT, "j-101").text.endswith("; team video holds 8, 8 over its quota of 0")


def test_enough_slots_that_lie_apart_are_fragments() -> None:
    snapshot = Snapshot(NOW, nodes(2), (job(101, gang(4)),), (runs(91, "n-1", 5), runs(92, "n-2", 5)))
    found = explain(snapshot, STRICT, "j-101")
    assert found.kind is Waiting.FRAGMENTED
    assert found.text.startswith("needs 4 gpu slots on one node; 6 free, at most 3 on one (n-1); ")
    assert "--set resources.placement=anywhere" in cures(found)[Cure.ANYWHERE].text


def test_the_first_in_a_strict_order_holds_the_others_back_by_name() -> None:
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8)), job(102, gang(1))), (runs(91, "n-1", 4),))
    found = explain(snapshot, STRICT, "j-102")
    assert (found.kind, found.short, found.ahead) == (Waiting.TURN, "behind j-101", 1)
    assert cures(found)[Cure.HOLD].command == "orchestrator hold j-101"


def test_held_jobs_hold_nobody_back() -> None:
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8), held=True), job(102, gang(8))), (runs(91, "n-1", 4),))
    assert explain(snapshot, STRICT, "j-102").kind is Waiting.SLOTS


def test_a_hold_is_released_by_a_command_and_what_else_it_takes_is_said() -> None:
    free = Snapshot(NOW, nodes(1), (job(101, gang(8), held=True),))
    assert [r.command for r in explain(free, STRICT, "j-101").remedies] == ["orchestrator release j-101"]
    full = replace(free, running=(runs(91, "n-1", 4),))
    wait = cures(explain(full, STRICT, "j-101"))[Cure.WAIT]
    assert wait.text == "release it, and wait until 2026-11-21 14:20:00 UTC, when j-91 should be over"


def test_a_back_off_ends_by_itself() -> None:
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(1), not_before=NOW + 90, failures=1),))
    found = explain(snapshot, STRICT, "j-101")
    assert (found.kind, found.until) == (Waiting.BACKOFF, NOW + 90)
    assert [(r.kind, r.at) for r in found.remedies] == [(Cure.WAIT, NOW + 90)]


def test_dependencies_that_succeed_free_their_slots() -> None:
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8), waits_for=("j-91",)),), (runs(91, "n-1", 4),))
    assert [r.text for r in explain(snapshot, STRICT, "j-101").remedies] == ["j-91 succeeds"]


def test_the_lowest_priority_that_works_is_told() -> None:
    waiting = (job(101, gang(8), priority=7), job(102, gang(4)))
    snapshot = Snapshot(NOW, nodes(1), waiting, (runs(91, "n-1", 4),))
    raised = cures(explain(snapshot, BY_PRIORITY, "j-102"))[Cure.PRIORITY]
    assert raised.command == "orchestrator priority j-102 8"
    lower = Remedy(Cure.PRIORITY, "", deltas=(replace(raised.deltas[0], job=replace(waiting[1], priority=7)),))  # type: ignore[call-arg]
    assert starts(*lower.apply(State.of(snapshot), NOW), BY_PRIORITY, "j-102") is None


def test_priority_is_no_remedy_where_it_does_not_count() -> None:
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8)), job(102, gang(4))), (runs(91, "n-1", 4),))
    assert Cure.PRIORITY not in cures(explain(snapshot, STRICT, "j-102"))


def test_the_widest_width_that_would_start_is_told() -> None:
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8)),), (runs(91, "n-1", 5),))
    assert "--set resources.workers=3)" in cures(explain(snapshot, STRICT, "j-101"))[Cure.NARROWER].text


def test_a_constraint_that_keeps_it_out_is_named() -> None:
    machines = (Node("n-1", 8, "h200"), Node("n-2", 8, "a100"))
    wants = Demand(8, 8, constraints=Constraints(("h200",)))
    snapshot = Snapshot(NOW, machines, (job(101, wants),), (runs(91, "n-1", 4),))
    found = explain(snapshot, STRICT, "j-101")
    assert found.kind is Waiting.CONSTRAINTS
    assert "; only 1 node is of type h200, 4 free there, 8 elsewhere; " in found.text
    assert cures(found)[Cure.ANYWHERE].text == "submit it anew for nodes of any type, not only h200"


def test_a_drained_node_is_named_with_its_note_and_resumed() -> None:
    machines = (Node("n-1", 4), Node("n-2", 8, state="drained", note="ana: cables"))
    found = explain(Snapshot(NOW, machines, (job(101, gang(8)),)), STRICT, "j-101")
    assert found.kind is Waiting.NODES
    assert found.text == "needs 8 gpu slots on one node; 4 can be used now: n-2 is drained (ana: cables)"
    assert cures(found)[Cure.RESUME].command == "orchestrator cluster resume n-2"


def test_a_drained_node_that_is_full_is_resumed_and_waited_for() -> None:
    machines, run = (Node("n-1", 8, state="drained"),), runs(91, "n-1", 8, 3600.0)
    found = explain(Snapshot(NOW, machines, (job(101, gang(8)),), (run,)), STRICT, "j-101")
    pair = cures(found)[Cure.RESUME]
    assert pair.command == "orchestrator cluster resume n-1"
    assert pair.text.startswith(f"resume n-1, and wait until {utc(NOW + 3600)}, when j-91 ")


@pytest.mark.parametrize("state", ["up", "drained"])
def test_who_starts_now_runs_while_others_wait_and_does_not_take_what_becomes_free_later(state: str) -> None:
    policy = Policy(order=Order(by="fifo"), backfill="skip", elastic=Elastic(start="widest"))
    wide, behind = job(101, Demand(1, 8), estimate=Estimate(9000.0, 0.0)), job(102, gang(4))
    nodes = (Node("n-1", 8, state=state),)  # type: ignore[arg-type]
    snapshot = Snapshot(NOW, nodes, (wide, behind), (runs(91, "n-1", 4, 90.0), runs(92, "n-1", 2, 180.0)))
    found = cures(explain(snapshot, policy, "j-102"))
    assert found[Cure.WAIT if state == "up" else Cure.RESUME].text.endswith(
        "wait until 2026-11-21 14:01:30 UTC, when j-91 should be over"
    )


def test_maintenance_that_a_run_would_meet_keeps_it_until_it_is_over() -> None:
    machines = (Node("n-1", 8, windows=(Window(NOW + 3600, NOW + 7200),)),)
    found = explain(Snapshot(NOW, machines, (job(101, gang(8), limit=5400.0),)), STRICT, "j-101")
    assert (found.kind, found.expected) == (Waiting.NODES, NOW + 7200)
    assert "maintenance of n-1 begins at" in found.text
    assert "a run of up to 90 min, its time limit, would meet it" in found.text
    assert found.short == "maintenance of n-1"
    most = explain(Snapshot(NOW, machines, (job(101, gang(8), limit=5400.0, max_time=5400.0),)), STRICT, "j-101")
    assert "a run of up to 90 min, which the cluster's limits.max_time allows it, would meet it" in most.text


def test_maintenance_is_told_by_what_it_is_and_its_purpose_beside_it() -> None:
    machines = (Node("n-1", 8, windows=(Window(NOW - 60, NOW + 7200, "new fans"),)),)
    found = explain(Snapshot(NOW, machines, (job(101, gang(8)),)), STRICT, "j-101")
    assert "n-1 is in maintenance (new fans) until 2026-11-21 16:00:00 UTC" in found.text
    assert cures(found)[Cure.WAIT].text.endswith("when maintenance of n-1 (new fans) is over")


def test_a_job_without_a_limit_is_told_how_long_it_may_need_and_the_limit_with_which_it_starts() -> None:
    machines = (Node("n-1", 8, windows=(Window(NOW + 18_000, NOW + 20_000, "new fans"),)),)
    waiting = job(101, gang(8), estimate=Estimate(14_235.0, 0.5))  # 95 of 100: 14,235 s * exp(1.645 * 0.5) = 9 h
    found = explain(Snapshot(NOW, machines, (waiting,)), STRICT, "j-101")
    assert (found.kind, found.expected) == (Waiting.NODES, NOW + 20_000)
    assert found.text == (
        "needs 8 gpu slots on one node; 0 can be used now: maintenance of n-1 (new fans) begins at "
        "2026-11-21 19:00:00 UTC and ends at 2026-11-21 19:33:20 UTC: "
        "it is expected to need up to 9.0 h and would meet it"
    )
    assert "--set time_limit=300m" in cures(found)[Cure.SHORTER].text
    unknown = explain(Snapshot(NOW, machines, (replace(waiting, estimate=None),)), STRICT, "j-101")
    assert "nobody knows how long it takes, and a run without a time limit would meet it" in unknown.text


def test_on_full_nodes_before_maintenance_the_limit_with_which_a_job_starts_once_there_is_room_is_told() -> None:
    machines = (Node("n-1", 8, windows=(Window(NOW + 7200, NOW + 10_800),)),)
    snapshot = Snapshot(NOW, machines, (job(101, gang(2), limit=30_000.0),), (runs(91, "n-1", 8),))
    found = cures(explain(snapshot, SKIP, "j-101"))
    assert found[Cure.WAIT].at == NOW + 10_800
    assert found[Cure.SHORTER].at == NOW + 1200
    assert found[Cure.SHORTER].text == (
        "submit it anew with a time limit of 90 min (--set time_limit=90m), if it needs no longer, "
        "and wait until 2026-11-21 14:20:00 UTC, when j-91 should be over"
    )


def test_a_run_that_may_meet_maintenance_is_told_that_it_is_asked_to_stop_then() -> None:
    machines = (Node("n-1", 8, windows=(Window(NOW + 3600, NOW + 7200, "new fans"),)), Node("n-2", 8))
    unsure = runs(91, "n-1", 4)
    unsure = replace(unsure, job=replace(unsure.job, estimate=Estimate(4800.0, 0.5)), saves=True)
    snapshot = Snapshot(NOW, machines, (), (unsure, runs(92, "n-1", 4, 3000.0), runs(93, "n-2", 4)))
    assert explain_running(snapshot, STRICT, "j-91").endswith(
        "is asked to save its state and stop when maintenance of n-1 (new fans) begins at 2026-11-21 15:00:00 UTC, "
        "if it still runs then"
    )
    command = replace(snapshot, running=(replace(unsure, saves=False),))
    assert "is stopped, and saves no state, when maintenance of n-1" in explain_running(command, STRICT, "j-91")
    assert "maintenance" not in explain_running(snapshot, STRICT, "j-92") + explain_running(snapshot, STRICT, "j-93")


def test_what_no_node_could_hold_needs_larger_nodes() -> None:
    found = explain(Snapshot(NOW, nodes(2), (job(101, Demand(1, 1, 16)),)), STRICT, "j-101")
    assert found.kind is Waiting.TOO_LARGE
    assert found.text == "needs 16 gpu slots on one node; the largest node has 8 gpu slots"
    assert cures(found)[Cure.NODES].text == "add 1 node of 16 gpu slots"


def test_a_team_at_its_limit_waits_for_its_own_jobs() -> None:
    held = runs(91, "n-1", 4)
    held = replace(held, job=replace(held.job, team="video"))
    waiting = (job(101, gang(4), team="video"),)
    snapshot = Snapshot(NOW, nodes(2), waiting, (held, runs(92, "n-2", 1)), (Team("video", limit=6),))
    found = explain(snapshot, SKIP, "j-101")
    assert found.kind is Waiting.LIMIT
    raised = cures(found)[Cure.TEAM].text
    assert raised.startswith("raise the limit of team video to 8 (now 6), by `teams` in the cluster's profile")
    assert cures(found)[Cure.CANCEL].command == "orchestrator cancel j-91"


def test_a_limit_that_those_before_it_in_its_team_will_reach_is_told() -> None:
    waiting = tuple(job(number, gang(4), team="speech") for number in (101, 102))
    snapshot = Snapshot(NOW, nodes(1), waiting, (runs(91, "n-1", 6),), (Team("speech", limit=6),))
    found = explain_all(snapshot, SKIP)
    assert found["j-102"].text.endswith("; team speech holds 0 of at most 6, and j-101 before it asks for 4")
    assert "at most 6" not in found["j-101"].text


def test_room_that_is_being_freed_is_told_with_who_frees_it() -> None:
    policy = Policy(order=Order(by="priority"), preemption=Preemption())
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8), priority=1),), (runs(91, "n-1", 8),))
    found = explain(snapshot, policy, "j-101")
    assert (found.kind, found.text) == (Waiting.CLAIMED, "its room on n-1 is being freed: j-91 stops")
    assert [remedy.text for remedy in found.remedies] == ["wait until j-91 has made room"]


def test_all_waiting_jobs_are_told_in_the_order_of_the_queue_after_those_that_start() -> None:
    waiting = (job(103, gang(8)), job(101, gang(4)), job(102, gang(8)))
    found = explain_all(Snapshot(NOW, nodes(1), waiting), SKIP)
    assert [(why.job, why.kind, why.ahead) for why in found.values()] == [
        ("j-101", Waiting.STARTS, 0),
        ("j-102", Waiting.SLOTS, 0),
        ("j-103", Waiting.SLOTS, 1),
    ]


def test_who_does_not_wait_has_no_reason_to() -> None:
    snapshot = Snapshot(NOW, nodes(1), (), (runs(91, "n-1", 4),))
    with pytest.raises(NotFound, match="j-91 does not wait"):
        explain(snapshot, SKIP, "j-91")
    with pytest.raises(NotFound, match="j-101 does not run"):
        explain_running(snapshot, SKIP, "j-101")


def test_a_run_is_told_why_it_keeps_its_width_and_its_place() -> None:
    policy = Policy(preemption=Preemption(min_run=7200.0), elastic=Elastic())
    run = runs(91, "n-1", 4)
    run = replace(run, job=replace(run.job, demand=Demand(2, 8)), resized=NOW - 5)
    text = explain_running(Snapshot(NOW, nodes(1), (), (run,)), policy, "j-91")
    assert text.startswith("holds 4 gpu slots on n-1; 4 workers of 2..8: ")
    assert "is not shrunk before 2026-11-21 14:00:55 UTC" in text
    assert "is not stopped for others before 2026-11-21 15:00:00 UTC" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pinned": True}, "a person chose 4 workers; is not shrunk: its width is pinned"),
        ({"keeps": ()}, "was asked to stop"),
        ({"keeps": (Share("n-1", 2),)}, "shrinks to 2 workers"),
        (
            {"placement": (Share("n-1", 4), Share("n-2", 8)), "keeps": (Share("n-2", 8),)},
            "holds 12 gpu slots on n-1 (4) and n-2 (8); goes to 8 workers on n-2",
        ),
    ],
)
def test_what_was_asked_of_a_run_is_told(change: dict[str, object], said: str) -> None:
    run = runs(91, "n-1", 4, **change)
    run = replace(run, job=replace(run.job, demand=Demand(2, 8)))
    assert said in explain_running(Snapshot(NOW, nodes(1), (), (run,)), Policy(elastic=Elastic()), "j-91")


def test_who_was_preempted_often_is_left_alone() -> None:
    run = runs(91, "n-1", 4)
    run = replace(run, job=replace(run.job, preemptions=3))
    text = explain_running(Snapshot(NOW, nodes(1), (), (run,)), Policy(preemption=Preemption()), "j-91")
    assert text.endswith("is not stopped for others: it was preempted 3 times")


def test_where_there_is_an_estimate_room_is_expected_by_it_and_by_a_limit_at_the_latest() -> None:
    month = 30 * 86_400.0
    known = runs(91, "n-1", 8)
    known = replace(known, job=replace(known.job, estimate=Estimate(600.0, 0.0), limit=month))
    unknown = replace(known, job=replace(known.job, estimate=None))
    waiting = (job(101, gang(8), limit=month),)
    found = explain(Snapshot(NOW, nodes(1), waiting, (known,)), STRICT, "j-101")
    assert found.expected is not None
    assert NOW < found.expected < NOW + 3600
    assert "more expected at" in found.text
    assert cures(found)[Cure.WAIT].at == found.expected
    found = explain(Snapshot(NOW, nodes(1), waiting, (unknown,)), STRICT, "j-101")
    assert "more at the latest by" in found.text
    assert "is over at the latest" in cures(found)[Cure.WAIT].text


def test_a_job_that_nobody_knows_how_long_it_takes_is_told_the_limit_with_which_it_passes() -> None:
    blocker = runs(91, "n-1", 4)
    blocker = replace(blocker, job=replace(blocker.job, estimate=None, limit=1200.0), since=NOW, counted=NOW)
    waiting = (job(101, gang(8)), job(102, gang(2)))
    waiting = tuple(replace(one, estimate=None, limit=None) for one in waiting)
    found = explain(Snapshot(NOW, nodes(1), waiting, (blocker,)), preset("easy"), "j-102")
    assert found.kind is Waiting.RESERVATION
    assert "--set time_limit=20m" in cures(found)[Cure.SHORTER].text


def test_room_that_comes_too_late_before_maintenance_is_no_room() -> None:
    machines = (Node("n-1", 8, windows=(Window(NOW + 3600, NOW + 7200),)),)
    running = runs(91, "n-1", 8)
    running = replace(running, job=replace(running.job, estimate=None, limit=1800.0), since=NOW, counted=NOW)
    found = explain(Snapshot(NOW, machines, (job(101, gang(8), limit=3000.0),), (running,)), STRICT, "j-101")
    assert found.expected == NOW + 7200
    assert "maintenance keeps it until" in found.text


def test_a_quota_that_keeps_a_job_from_being_stopped_is_told_of_both() -> None:
    policy = Policy(order=Order(by="priority"), preemption=Preemption(for_whom="priority", min_run=0.0))
    held = runs(91, "n-1", 8)
    held = replace(held, job=replace(held.job, team="lab"))
    urgent = job(101, gang(8), team="video", priority=900)
    snapshot = Snapshot(NOW, nodes(1), (urgent,), (held,), (Team("lab", quota=8), Team("video")))
    assert "team lab holds 8 within its quota of 8" in explain(snapshot, policy, "j-101").text
    assert "of team lab alone: it holds 8, and its quota of 8" in explain_running(snapshot, policy, "j-91")
    free = replace(snapshot, teams=())
    assert starts(State.of(free), NOW, policy, "j-101") is not None
    assert explain_running(free, policy, "j-91").endswith("may be stopped for jobs of higher priority")


def test_a_higher_priority_says_whom_it_stops() -> None:
    policy = Policy(order=Order(by="priority"), preemption=Preemption(for_whom="priority", min_run=0.0))
    snapshot = Snapshot(NOW, nodes(1), (job(101, gang(8)),), (runs(91, "n-1", 8),))
    text = cures(explain(snapshot, policy, "j-101"))[Cure.PRIORITY].text
    assert text == "raise its priority to 1 (now 0), which stops j-91"
