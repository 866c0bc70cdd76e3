"""Forecasts of a live queue."""

from dataclasses import replace

import pytest
from simulation_kit import FIFO, cluster, on, true_job

from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.forecast import forecast, who_is_delayed
from orchestrator.simulation.truth import Charges
from orchestrator.spec.presets import preset

NOW = 1_000.0


def waiting(name: str, workers: int, seconds: float | None, **more: object) -> Job:
    job = true_job(name, NOW - 10, workers, 0.0, estimate=seconds).job
    return replace(job, **more)  # type: ignore[arg-type]


def running(name: str, workers: int, seconds: float | None, since: float, **more: object) -> Running:
    job = true_job(name, since, workers, 0.0, estimate=seconds).job
    return replace(Running(job, on(workers), since, since, since), **more)  # type: ignore[arg-type]


def queue(*jobs: Job | Running, slots: int = 4) -> Snapshot:
    pending = tuple(job for job in jobs if isinstance(job, Job))
    held = tuple(job for job in jobs if isinstance(job, Running))
    return replace(cluster(slots, now=NOW), pending=pending, running=held)


def test_starts_and_ends_follow_from_what_is_expected() -> None:
    there = queue(running("a", 4, 300, NOW - 100), waiting("b", 2, 50), waiting("c", 4, 60))
    found = forecast(there, FIFO, horizon=10_000)
    assert found.starts == {"b": NOW + 200, "c": NOW + 250}
    assert found.ends == {"a": NOW + 200, "b": NOW + 250, "c": NOW + 310}
    assert (found.now, found.until) == (NOW, NOW + 10_000)


def test_a_running_job_that_has_outlived_its_estimate_takes_what_is_now_expected() -> None:
    late = running("a", 4, None, NOW - 400)
    late = replace(late, job=replace(late.job, estimate=Estimate(300, 0.5)))
    found = forecast(queue(late, waiting("b", 4, 10)), FIFO, horizon=10_000)
    assert NOW < found.starts["b"] < NOW + 1_000


def test_where_nobody_has_an_idea_the_time_limit_counts_and_else_there_is_no_end() -> None:
    limited = running("a", 2, None, NOW - 100)
    limited = replace(limited, job=replace(limited.job, limit=500.0))
    endless = running("b", 2, None, NOW - 100)
    found = forecast(queue(limited, endless, waiting("c", 2, 10), waiting("d", 4, 10)), FIFO, horizon=5_000)
    assert found.ends == {"a": NOW + 400, "c": NOW + 410}
    assert "d" not in found.starts


def test_nothing_beyond_the_horizon_is_told() -> None:
    there = queue(running("a", 4, 300, NOW), waiting("b", 4, 50))
    found = forecast(there, FIFO, horizon=310)
    assert (found.starts, found.ends, found.until) == ({"b": NOW + 300}, {"a": NOW + 300}, NOW + 310)


def test_a_bound_on_events_shortens_the_view() -> None:
    jobs = [waiting(f"j{i}", 4, 10) for i in range(50)]
    found = forecast(queue(*jobs), FIFO, horizon=10_000, most_events=5)
    assert found.until == NOW + 50
    assert len(found.ends) == 5


def test_an_extra_job_delays_others_and_they_are_named() -> None:
    there = queue(running("a", 4, 100, NOW), waiting("b", 4, 50, priority=1), waiting("c", 4, 60))
    policy = preset("priority")
    before = forecast(there, policy, horizon=1_000)
    extra = waiting("x", 4, 500, priority=5, submitted=NOW)
    after = forecast(there, policy, horizon=1_000, extra=extra)
    assert after.starts["x"] == NOW + 100
    delayed = who_is_delayed(before, after)
    assert [(d.job, d.seconds) for d in delayed] == [("b", 500), ("c", 500)]
    short = forecast(there, policy, horizon=300, extra=extra)
    beyond = who_is_delayed(forecast(there, policy, horizon=300), short)
    assert [(d.job, d.seconds, d.beyond) for d in beyond] == [("b", 150, True), ("c", 90, True)]


def test_a_job_that_nobody_knows_the_end_of_is_delayed_when_it_starts_later() -> None:
    there, policy = queue(running("a", 4, 100, NOW), waiting("b", 4, None)), preset("priority")
    extra = waiting("x", 4, 500, priority=5, submitted=NOW)
    before, after = (forecast(there, policy, horizon=1_000, extra=more) for more in (None, extra))
    assert [(d.job, d.before, d.after, d.seconds) for d in who_is_delayed(before, after)] == [
        ("b", NOW + 100, NOW + 600, 500)
    ]


def test_where_the_second_view_is_shorter_nobody_is_said_to_be_delayed_for_it() -> None:
    jobs = [waiting(f"j{i:02}", 4, 10) for i in range(50)]
    before, after = (forecast(queue(*jobs), FIFO, horizon=10_000, most_events=most) for most in (500, 5))
    assert who_is_delayed(before, after) == ()


def test_a_held_job_does_not_start() -> None:
    assert forecast(queue(waiting("a", 1, 10, held=True)), FIFO, horizon=100).starts == {}


def test_a_job_in_back_off_starts_after_it_and_pays_for_coming_back() -> None:
    there = queue(waiting("a", 1, 10, not_before=NOW + 60, failures=1))
    found = forecast(there, FIFO, horizon=1_000, charges=Charges(resume=30))
    assert (found.starts, found.ends) == ({"a": NOW + 60}, {"a": NOW + 100})


def test_a_dependent_job_follows_the_one_it_waits_for() -> None:
    found = forecast(queue(waiting("a", 1, 100), waiting("b", 1, 10, waits_for=("a",))), FIFO, horizon=1_000)
    assert found.starts == {"a": NOW, "b": NOW + 100}


def test_what_was_asked_of_running_jobs_has_happened() -> None:
    stopping = running("a", 4, 300, NOW - 100, keeps=())
    there = queue(stopping, waiting("b", 4, 50, claim=on(4)))
    found = forecast(there, FIFO, horizon=10_000, charges=Charges(resume=30))
    assert found.starts["b"] == NOW
    assert found.ends["a"] == NOW + 50 + 30 + 200


def test_a_job_whose_last_run_lets_go_waits_like_any_other() -> None:
    job = waiting("a", 4, 50, releasing=True)
    old = replace(running("a", 4, 50, NOW - 10), keeps=())
    found = forecast(queue(job, old), FIFO, horizon=1_000)
    assert found.starts == {"a": NOW}


def test_progress_counts() -> None:
    there = queue(running("a", 4, 300, NOW - 100), slots=4)
    half = replace(there.running[0], job=replace(there.running[0].job, worked=150.0), counted=NOW)
    assert forecast(replace(there, running=(half,)), FIFO, horizon=1_000).ends == {"a": NOW + 150}


@pytest.mark.parametrize("name", ["easy", "default", "las", "srtf", "fair", "elastic"])
def test_a_snapshot_that_nobody_waits_in_is_left_alone(name: str) -> None:
    there = queue(running("a", 2, 100, NOW - 50))
    assert forecast(there, preset(name), horizon=1_000).ends == {"a": NOW + 50}


def test_a_width_that_a_person_chose_stays() -> None:
    job = true_job("a", NOW - 100, 4, 0.0, narrowest=1, estimate=400).job
    pinned = Running(job, on(2), NOW - 100, NOW - 100, NOW - 100, keeps=on(1), pinned=True)
    found = forecast(queue(pinned), preset("elastic"), horizon=10_000, charges=Charges(0, 0))
    # 50 s of 400 are done; the rest at a quarter of the speed.
    assert found.ends == {"a": NOW + 1_400}
