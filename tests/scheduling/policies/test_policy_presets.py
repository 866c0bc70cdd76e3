"""The named policies."""

from dataclasses import replace

import pytest
from policy_kit import NOW, decide, expects, job, resized, runs, settle, snapshot, started, stopped

from orchestrator.scheduling.jobs import Job
from orchestrator.spec.presets import PRESETS, preset

NAMES = {"default", "fifo", "priority", "easy", "conservative", "sjf", "srtf", "las", "fair", "elastic"}


def fresh(number: int, fewest: int, most: int, seconds: float, **more: int) -> Job:
    return job(number, fewest, most, estimate=expects(seconds), submitted=NOW - 2000, waits_since=NOW - 2000, **more)


def test_there_are_these() -> None:
    assert set(PRESETS) == NAMES
    assert all(policy.name == name for name, policy in PRESETS.items())
    with pytest.raises(ValueError, match="there is no policy 'fif'"):
        preset("fif")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_one_fills_an_empty_cluster(name: str) -> None:
    waiting = [job(n, 4, estimate=expects(100.0 * n)) for n in (1, 2, 3)]
    assert started(decide(snapshot(*waiting), preset(name))) == {"j-1": 4, "j-2": 4}


def test_by_default_a_job_that_needs_half_as_much_has_others_shrink_and_else_stop() -> None:
    long = runs(fresh(1, 4, 8, 10_000), NOW - 1000, a=8)
    found = snapshot(fresh(9, 2, 4, 1000), long)
    assert resized(decide(found, preset("default"))) == {"j-1": 6}
    found = snapshot(fresh(9, 8, 8, 1000), long)
    assert stopped(decide(found, preset("default"))) == ["j-1"]
    after, _ = settle(found, preset("default"))
    assert [(run.job.id, run.workers) for run in after.running] == [("j-9", 8)]


def test_by_default_priority_comes_before_length() -> None:
    waiting = [fresh(1, 8, 8, 10), fresh(2, 8, 8, 1000, priority=1)]
    assert started(decide(snapshot(*waiting), preset("default"))) == {"j-2": 8}
    running = runs(fresh(1, 8, 8, 10), NOW - 1000, a=8)
    assert stopped(decide(snapshot(waiting[1], running), preset("default"))) == ["j-1"]


def test_by_default_who_has_just_come_asks_nobody_and_is_looked_at_again_in_time() -> None:
    long = runs(fresh(1, 4, 8, 10_000), NOW - 1000, a=8)
    newcomer = job(9, 2, 4, estimate=expects(100.0), submitted=NOW - 20, waits_since=NOW - 20)
    made = decide(snapshot(newcomer, long), preset("default"))
    assert (made.resizes, made.preempts, made.wake) == ((), (), NOW + 40)
    older = job(8, 2, 4, estimate=expects(200.0), submitted=NOW - 60, waits_since=NOW - 60)
    made = decide(snapshot(newcomer, older, long), preset("default"))
    assert [claim.job for claim in made.claims] == ["j-8"]


def test_by_default_who_has_just_come_takes_what_is_idle_however_narrow() -> None:
    long = runs(fresh(1, 4, 6, 10_000), NOW - 1000, a=6)
    newcomer = job(9, 2, 4, estimate=expects(100.0), submitted=NOW, waits_since=NOW)
    made = decide(snapshot(newcomer, long), preset("default"))
    assert (started(made), made.resizes) == ({"j-9": 2}, ())


def test_by_default_nobody_is_stopped_who_would_lose_more_work_than_that_is_worth() -> None:
    newcomer = fresh(9, 8, 8, 100.0)
    for saved, saves, stops in ((None, False, True), (0.0, False, False), (0.0, True, True), (2_950.0, False, True)):
        command = runs(fresh(1, 8, 8, 4_000), NOW - 3_000, a=8, saved=saved)
        found = snapshot(newcomer, replace(command, saves=saves))
        assert bool(decide(found, preset("default")).preempts) is stops, (saved, saves)
    urgent = replace(newcomer, priority=1)
    assert decide(snapshot(urgent, command), preset("default")).preempts


def test_one_stop_of_more_slots_is_cheaper_than_several_of_fewer() -> None:
    small = [runs(fresh(n, 2, 2, 50_000), NOW - 1000, a=2) for n in (1, 2, 3)]
    large = runs(fresh(4, 8, 8, 50_000), NOW - 1000, b=8)
    assert stopped(decide(snapshot(fresh(9, 8, 8, 100), *small, large, nodes="ab"), preset("default"))) == ["j-4"]
