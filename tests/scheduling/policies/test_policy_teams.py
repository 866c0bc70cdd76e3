"""Limits, quotas that others may borrow, and how they are given back."""

from policy_kit import HOUR, NOW, decide, job, resized, runs, settle, snapshot, started, stopped

from orchestrator.scheduling.teams import Team
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption
from orchestrator.spec.presets import preset

PLAIN = Policy(order=Order(by="fifo"), backfill="easy")
PASSING = PLAIN.model_copy(update={"backfill": "skip"})
RECLAIM = PLAIN.model_copy(update={"preemption": Preemption(for_whom="quota", min_run=0.0)})


def test_a_team_never_exceeds_its_limit_and_holds_nobody_back() -> None:
    teams = (Team("x", limit=4),)
    waiting = [job(1, 3, team="x"), job(2, 3, team="x"), job(3, 4, team="y")]
    assert started(decide(snapshot(*waiting, teams=teams), PLAIN)) == {"j-1": 3, "j-3": 4}


def test_the_limit_of_a_parent_holds_for_all_under_it() -> None:
    teams = (Team("lab", limit=5), Team("x", "lab"), Team("y", "lab"))
    waiting = [job(1, 3, team="x"), job(2, 3, team="y"), job(3, 2, team="y")]
    assert started(decide(snapshot(*waiting, teams=teams), PASSING)) == {"j-1": 3, "j-3": 2}


def test_what_is_left_of_a_limit_is_kept_for_the_first_who_waits_for_it() -> None:
    """Else a stream of small jobs of its own team could keep it waiting for ever."""
    teams = (Team("lab", limit=5), Team("x", "lab"), Team("y", "lab"))
    waiting = [job(1, 3, team="x"), job(2, 3, team="y"), job(3, 2, team="x"), job(4, 5, team="z")]
    for name in ("fifo", "easy", "conservative"):
        assert started(decide(snapshot(*waiting, teams=teams), preset(name))) == {"j-1": 3, "j-4": 5}
    overdue = PASSING.model_copy(update={"order": Order(by="fifo", overdue=60.0)})
    assert started(decide(snapshot(*waiting, teams=teams), overdue)) == {"j-1": 3, "j-4": 5}


def test_nothing_is_kept_for_who_can_never_have_it() -> None:
    teams = (Team("lab", limit=5),)
    waiting = [job(1, 6, team="lab"), job(2, 2, team="lab")]
    assert started(decide(snapshot(*waiting, teams=teams), PLAIN)) == {"j-2": 2}


def test_a_job_whose_floor_is_over_its_limit_now_holds_nobody_back() -> None:
    """Of 1 to 16 workers it gets 8 at least; its team holds 8 of 12."""
    policy = Policy(order=Order(by="fifo"), backfill="none", elastic=Elastic(floor=0.5, start="widest"))
    busy = runs(job(1, 8, team="x"), a=8)
    found = snapshot(job(2, 1, 16, team="x"), job(3, 1, team="y"), busy, nodes="abc", teams=(Team("x", limit=12),))
    assert started(decide(found, policy)) == {"j-3": 1}


def test_a_floor_over_the_limit_is_cut() -> None:
    policy = Policy(order=Order(by="fifo"), backfill="none", elastic=Elastic(floor=0.5, start="widest"))
    found = snapshot(job(2, 1, 16, team="x"), nodes="abc", teams=(Team("x", limit=6),))
    assert started(decide(found, policy)) == {"j-2": 6}


def test_a_limit_bounds_the_width() -> None:
    teams = (Team("x", limit=5),)
    assert started(decide(snapshot(job(1, 2, 8, team="x"), teams=teams), PLAIN)) == {"j-1": 5}
    policy = PLAIN.model_copy(update={"elastic": Elastic()})
    running = runs(job(1, 2, 8, team="x", attained=0.0, worked=HOUR), a=4)
    assert resized(decide(snapshot(running, teams=teams), policy)) == {"j-1": 5}


def test_what_an_owner_does_not_use_is_lent_and_given_back() -> None:
    teams = (Team("own", quota=4), Team("other"))
    found = snapshot(job(9, 4, team="own"), *[runs(job(n, 4, team="other"), a=4) for n in (1, 2)], teams=teams)
    after, (first, second) = settle(found, RECLAIM)
    assert stopped(first) == ["j-2"]
    assert started(second) == {"j-9": 4}
    assert not decide(found, PLAIN)
    more = snapshot(job(10, 4, team="own"), *after.pending, *after.running, teams=teams)
    assert not decide(more, RECLAIM)


def test_only_as_much_as_its_own_can_be_asked_back() -> None:
    teams = (Team("own", quota=4),)
    assert not decide(snapshot(job(9, 5, team="own"), runs(job(1, 8, team="x"), a=8), teams=teams), RECLAIM)


def test_elastic_borrowers_shrink_before_anybody_stops() -> None:
    policy = RECLAIM.model_copy(update={"elastic": Elastic()})
    teams = (Team("own", quota=4),)
    found = snapshot(job(9, 4, team="own"), runs(job(1, 2, 8, team="x"), a=8), teams=teams)
    assert resized(decide(found, policy)) == {"j-1": 4}


def test_the_cheapest_borrower_gives_back() -> None:
    teams = (Team("own", quota=4),)
    busy = [runs(job(1, 4, team="x"), saved=NOW - 1000, a=4), runs(job(2, 4, team="y"), saved=NOW - 10, a=4)]
    assert stopped(decide(snapshot(job(9, 4, team="own"), *busy, teams=teams), RECLAIM)) == ["j-2"]


def test_no_team_is_pushed_below_its_quota_by_somebody_outside() -> None:
    teams = (Team("safe", quota=4),)
    priority = Policy(order=Order(by="priority"), backfill="skip", preemption=Preemption(min_run=0.0))
    busy = [runs(job(n, 4, team="safe"), a=4) for n in (1, 2)]
    assert stopped(decide(snapshot(job(9, 4, priority=1, team="x"), *busy, teams=teams), priority)) == ["j-2"]
    assert not decide(snapshot(job(9, 8, priority=1, team="x"), *busy, teams=teams), priority)
    assert stopped(decide(snapshot(job(9, 8, priority=1, team="safe"), *busy, teams=teams), priority)) == [
        "j-1",
        "j-2",
    ]


def test_nobody_shrinks_below_the_quota_of_its_team_for_somebody_outside() -> None:
    policy = PLAIN.model_copy(update={"elastic": Elastic()})
    found = snapshot(job(9, 2, team="x"), runs(job(1, 2, 8, team="safe"), a=8), teams=(Team("safe", quota=6),))
    assert resized(decide(found, policy)) == {"j-1": 6}
    found = snapshot(job(9, 2, team="x"), runs(job(1, 2, 8, team="safe"), a=8), teams=(Team("safe", quota=7),))
    assert not decide(found, policy)


def test_a_quota_covers_all_under_its_owner() -> None:
    teams = (Team("lab", quota=4), Team("x", "lab"), Team("y", "lab"))
    assert stopped(decide(snapshot(job(9, 4, team="x"), runs(job(1, 8, team="z"), a=8), teams=teams), RECLAIM)) == [
        "j-1"
    ]
    assert not decide(snapshot(job(9, 4, team="x"), runs(job(1, 8, team="y"), a=8), teams=teams), RECLAIM)
