"""The engine: hand-computed times to the second, charges, checkpoints, limits, loops."""

import math
from collections.abc import Sequence

import pytest
from simulation_kit import FIFO, Script, cluster, on, preempt, resize, true_job

from orchestrator.scheduling.decisions import Decisions, Preempt, Start
from orchestrator.scheduling.deltas import Pends, Runs, Teams
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.engine import EndlessDecision, Engine, simulate
from orchestrator.simulation.outcomes import Outcome, Result
from orchestrator.simulation.truth import Charges, TrueJob
from orchestrator.spec.presets import preset

FREE = Charges(0.0, 0.0)


def times(result: Result) -> dict[str, tuple[float, float]]:
    return {o.job: (o.started, o.ended) for o in result.outcomes}


def scripted(core: Script, load: Sequence[TrueJob], charges: Charges = FREE) -> dict[str, Outcome]:
    result = Engine(cluster(core.free), load, FIFO, charges=charges, core=core).run()
    assert not result.stopped
    return {o.job: o for o in result.outcomes}


def test_strict_fifo_to_the_second() -> None:
    load = [
        true_job("a", 0, 4, 100),  # holds the whole node until 100
        true_job("b", 10, 3, 50),  # 100 to 150
        true_job("c", 20, 2, 30),  # does not fit beside b: 150 to 180
        true_job("d", 30, 1, 10),  # would fit beside b, and waits behind c: 150 to 160
    ]
    result = simulate(cluster(4), load, FIFO)
    assert times(result) == {"a": (0, 100), "b": (100, 150), "d": (150, 160), "c": (150, 180)}
    assert (result.began, result.ended, result.events, result.stopped) == (0, 180, 8, "")
    assert (result.used, result.capacity) == (400 + 150 + 60 + 10, 4 * 180)


def test_easy_backfill_of_the_four_job_example() -> None:
    load = [
        true_job("a", 0, 3, 100, estimate=100),
        true_job("b", 1, 4, 100, estimate=100),  # reserved at 100
        true_job("c", 2, 1, 98, estimate=98),  # ends at 100: passes b
        true_job("d", 3, 1, 50, estimate=200),  # would delay b as it says: waits
    ]
    result = simulate(cluster(4), load, preset("easy"))
    assert times(result) == {"a": (0, 100), "c": (2, 100), "b": (100, 200), "d": (200, 250)}


def test_what_happens_at_one_instant_is_taken_in_before_one_decision() -> None:
    core = Script(4)
    load = [true_job("a", 0, 2, 10), true_job("b", 0, 2, 10), true_job("c", 10, 4, 5)]
    found = scripted(core, load)
    assert core.asked == [0, 10, 15]
    assert found["c"].started == 10


def test_a_job_without_a_duration_ends_when_it_starts() -> None:
    assert times(simulate(cluster(1), [true_job("a", 5, 1, 0)], FIFO)) == {"a": (5, 5)}


def test_who_comes_back_after_a_preemption_pays_and_keeps_what_it_had_done() -> None:
    core = Script(4, {40.0: preempt("a")})
    found = scripted(core, [true_job("a", 0, 4, 100), true_job("b", 30, 4, 10)], Charges(resume=30))
    assert (found["b"].started, found["b"].ended) == (40, 50)
    # 40 s are done; back at 50, without progress until 80, the other 60 s until 140.
    a = found["a"]
    assert (a.started, a.ended, a.preemptions) == (0, 140, 1)
    assert (a.held, a.charged, a.lost) == (4 * 130, 4 * 30, 0)
    told = [delta.job for now, delta in core.told if isinstance(delta, Pends) and now == 40]
    assert [(job.worked, job.attained, job.preemptions, job.waits_since) for job in told] == [(40, 160, 1, 40)]
    (back,) = [delta.running for now, delta in core.told if isinstance(delta, Runs) and now == 50]
    assert (back.since, back.counted, back.saved, back.job.worked, back.job.attained) == (50, 80, None, 40, 280)


def test_what_was_done_since_the_last_checkpoint_is_lost_by_a_preemption() -> None:
    core = Script(2, {100.0: preempt("a")})
    charges = Charges(resume=0, checkpoint_every=40)
    found = scripted(core, [true_job("a", 0, 2, 130), true_job("b", 90, 2, 5)], charges)
    # Checkpoints at 40 and 80; the 20 s until 100 are done again: b until 105, then 130 - 80 s.
    assert (found["a"].ended, found["a"].lost, found["a"].held) == (155, 40, 2 * 150)
    saved = [(now, d.running.saved) for now, d in core.told if isinstance(d, Runs) and d.running.job.id == "a"]
    assert saved == [(0, 0), (40, 40), (80, 80), (105, 80), (145, 120)]


def test_checkpoints_alone_are_no_reason_to_decide() -> None:
    core = Script(1)
    scripted(core, [true_job("a", 0, 1, 100)], Charges(checkpoint_every=10))
    assert core.asked == [0, 100]


def test_a_resize_costs_and_the_speed_follows_the_exponent() -> None:
    core = Script(4, {50.0: resize("a", 1, for_job="b")})
    found = scripted(core, [true_job("a", 0, 4, 100, exponent=0.5), true_job("b", 20, 3, 40)], Charges(resize=30))
    # 50 s are done; from 80 on at (1/4)**0.5 = 1/2: the other 50 s take until 180.
    assert (found["a"].ended, found["a"].resizes, found["a"].charged) == (180, 1, 30)
    assert (found["b"].started, found["b"].ended) == (50, 90)


def test_a_growth_takes_effect_at_once() -> None:
    narrow = Decisions(starts=(Start("a", on(2)),), wake=100.0)
    core = Script(4, {0.0: lambda: narrow, 100.0: resize("a", 4)})
    found = scripted(core, [true_job("a", 0, 4, 100)], Charges(resize=10))
    # 100 s at half speed are 50 s of work; the rest from 110 on at full speed.
    assert found["a"].ended == 160


def test_a_second_resize_within_the_pause_begins_it_anew() -> None:
    core = Script(4, {50.0: resize("a", 2), 60.0: resize("a", 4)})
    found = scripted(core, [true_job("a", 0, 4, 100)], Charges(resize=30))
    assert (found["a"].ended, found["a"].charged) == (50 + 10 + 30 + 50, 10 * 2 + 30 * 4)


def test_a_run_ends_at_its_time_limit_whatever_is_left_of_its_work() -> None:
    (outcome,) = simulate(cluster(1), [true_job("a", 0, 1, 100, limit=60)], FIFO).outcomes
    assert (outcome.ended, outcome.ends) == (60, "killed")


def test_a_job_that_is_done_before_its_limit_completes_and_who_waits_for_it_starts() -> None:
    load = [true_job("a", 0, 1, 100, limit=150), true_job("b", 1, 1, 10, waits_for=("a",), limit=10)]
    found = {o.job: o for o in simulate(cluster(1), load, FIFO).outcomes}
    assert [(o.started, o.ended, o.ends) for o in found.values()] == [(0, 100, "completed"), (100, 110, "completed")]


def test_a_job_that_takes_just_its_limit_completes_however_its_seconds_are_rounded() -> None:
    load = [true_job(f"j{i}", 0.1 + i / 3, 1, 0.7 + i / 7, limit=0.7 + i / 7) for i in range(50)]
    assert {o.ends for o in simulate(cluster(2), load, FIFO).outcomes} == {"completed"}


def test_a_job_that_was_killed_lost_only_what_it_waited() -> None:
    load = [true_job("a", 0, 1, 100, limit=60), true_job("b", 0, 1, 100, limit=50)]
    found = {o.job: o for o in simulate(cluster(1), load, FIFO).outcomes}
    assert {name: (o.ends, o.duration, o.time_lost) for name, o in found.items()} == {
        "a": ("killed", 60, 0),
        "b": ("killed", 50, 60),
    }


def test_pauses_do_not_count_towards_the_time_limit() -> None:
    core = Script(4, {40.0: resize("a", 2, for_job="b")})
    found = scripted(core, [true_job("a", 0, 4, 100, limit=150)], Charges(resize=30))
    # 40 s are done; from 70 on at half speed until 190, but no longer than 150 s and the pause.
    assert (found["a"].ended, found["a"].ends) == (180, "killed")


def test_a_recorded_failure_is_an_end_like_any_other() -> None:
    (outcome,) = simulate(cluster(1), [true_job("a", 0, 1, 7, ends="failed")], FIFO).outcomes
    assert (outcome.ended, outcome.ends) == (7, "failed")


def test_a_dependent_job_starts_when_the_other_one_has_succeeded() -> None:
    load = [true_job("a", 0, 1, 50), true_job("b", 1, 1, 10, waits_for=("a",))]
    assert times(simulate(cluster(2), load, FIFO))["b"] == (50, 60)


def test_a_policy_that_frees_slots_for_ever_is_an_error_that_names_the_jobs() -> None:
    class Mad(Script):
        def decide(self, policy, now):  # type: ignore[no-untyped-def]
            running = next(iter(self.held), None)
            if running is not None:
                return Decisions(preempts=(Preempt(running, "b", "mad"),))
            return super().decide(policy, now)

    with pytest.raises(EndlessDecision, match=r"'fifo' has decided 1,000 times in a row.*about") as refusal:
        Engine(cluster(1), [true_job("a", 0, 1, 10), true_job("b", 5, 1, 10)], FIFO, core=Mad(1)).run()
    assert "min_run" in refusal.value.hint


def test_a_job_that_can_never_start_ends_the_simulation_and_is_named() -> None:
    core = Script(1)
    result = Engine(cluster(1), [true_job("a", 0, 1, 5), true_job("b", 1, 2, 5)], FIFO, core=core).run()
    assert (result.unfinished, result.stopped) == (("b",), "the rest of the queue can never start")


def test_a_simulation_can_be_stopped_and_gone_on_with() -> None:
    load = [true_job(f"j{i}", i * 10, 1, 5) for i in range(10)]
    engine = Engine(cluster(1), load, FIFO)
    part = engine.run(until=42)
    assert (len(part.outcomes), part.ended, part.stopped) == (4, 42, "the horizon is reached")
    assert (part.used, part.capacity) == (4 * 5 + 2, 42)
    engine.stop = True
    assert engine.run().stopped == "stopped"
    engine.stop = False
    assert engine.run().outcomes == simulate(cluster(1), load, FIFO).outcomes


def test_a_bound_on_events_holds() -> None:
    load = [true_job(f"j{i}", i * 10, 1, 5) for i in range(10)]
    result = Engine(cluster(1), load, FIFO).run(most_events=6)
    assert (result.events, result.stopped) == (6, "the bound on events is reached")


def test_fair_policies_are_told_what_teams_have_used() -> None:
    told: list[Teams] = []

    class Listening(Script):
        def apply(self, delta, now):  # type: ignore[no-untyped-def]
            told.append(delta) if isinstance(delta, Teams) else super().apply(delta, now)

    policy = preset("fair")
    half_life = policy.order.half_life
    load = [true_job("a", 0, 2, half_life, team="x"), true_job("b", half_life, 1, 1, team="y")]
    Engine(cluster(2), load, policy, core=Listening(2)).run()
    at_end_of_a = {u.team: u.slot_seconds for u in told[1].usage}
    # u = s h / ln 2 (1 - 1/2) for two slots over one half-life.
    assert at_end_of_a == pytest.approx({"x": 2 * half_life / math.log(2) / 2})


def test_an_empty_load_is_over_at_once() -> None:
    assert simulate(Snapshot(0.0, ()), [], FIFO).outcomes == ()
