"""When jobs should start and end, how sure that is, and what one more job would change."""

import math
from dataclasses import replace

import pytest

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.lifecycle.reasons import utc
from orchestrator.planning import outlook as module
from orchestrator.planning.estimate import estimate_of
from orchestrator.planning.outlook import PLAYED, Outlook
from orchestrator.planning.waits import waiting_view
from orchestrator.planning.whatif import NEW, WhatIf, candidate, offline_view, some_widths
from orchestrator.scheduling.cluster import Constraints, Demand, Node, Share, Window
from orchestrator.scheduling.estimates.outlived import quantile
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.answers import EstimateView, Moment, WhyView
from orchestrator.spec.load import parse_workload
from orchestrator.spec.presets import PRESETS
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload

NOW = 10_000.0
FIFO = PRESETS["fifo"]
SURE = 0.0


def job(number: int, workers: int = 1, *, seconds: float | None = 600.0, error: float = SURE, **fields: object) -> Job:
    estimate = None if seconds is None else Estimate(seconds, error)
    demand = Demand(workers, workers)
    return Job(f"j-{number}", number, NOW - 100 + number, demand, estimate=estimate, waits_since=NOW - 100, **fields)  # type: ignore[arg-type]


def runs(number: int, workers: int, *, node: str = "a", **fields: object) -> Running:
    found = job(number, workers, **fields)  # type: ignore[arg-type]
    return Running(found, (Share(node, workers),), since=NOW - 100, counted=NOW - 100, resized=NOW - 100)


def queue(*pending: Job, running: tuple[Running, ...] = (), slots: int = 4) -> Outlook:
    return Outlook(Snapshot(NOW, (Node("a", slots),), pending, running), FIFO)


def workload(workers: str = "2") -> Workload:
    return parse_workload(f"name: mine\ncommand: [x]\nresources: {{workers: {workers}}}\n".encode(), "w.yaml", ())


CAPACITY = Capacity(4, 4, 4, "gpu", (NodeFacts("a", 4, 4),))


def test_sure_jobs_start_one_after_the_other() -> None:
    found = queue(job(1, 4), job(2, 4), running=(runs(0, 4),))
    assert [found.start_of(name).at for name in ("j-1", "j-2")] == [NOW + 500, NOW + 1100]  # type: ignore[union-attr]
    assert found.sure_start_of("j-2").earliest == NOW + 1100  # type: ignore[union-attr]


def test_an_unsure_job_is_bracketed_by_quick_and_slow_ones() -> None:
    found = queue(job(1, 4), running=(runs(0, 4, error=0.5),)).sure_start_of("j-1")
    assert found is not None
    assert found.earliest is not None
    assert found.latest is not None
    assert NOW < found.earliest < found.at < found.latest
    assert found.earliest == pytest.approx(NOW - 100 + quantile(Estimate(600, 0.5), 100, 0.1))


def test_a_held_job_and_one_behind_a_job_without_an_end_have_no_expected_start() -> None:
    assert queue(job(1, 4, held=True)).start_of("j-1") is None
    assert queue(job(1, 4), running=(runs(0, 4, seconds=None),)).start_of("j-1") is None


def test_a_job_that_is_too_large_has_no_expected_start() -> None:
    assert queue(job(1, 5)).start_of("j-1") is None


def test_jobs_far_behind_start_after_the_work_before_them() -> None:
    jobs = [job(n, 4) for n in range(1, 2 * PLAYED)]
    found = queue(*jobs, running=(runs(0, 4),))
    last = found.start_of(jobs[-1].id)
    assert last is not None
    assert last.at == pytest.approx(NOW + 500 + 600 * (len(jobs) - 1))
    assert found.sure_start_of(jobs[-1].id) == last


def test_only_the_first_jobs_are_played_through(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []
    forecast = module.forecast
    monkeypatch.setattr(module, "forecast", lambda s, p, **k: played.append(len(s.pending)) or forecast(s, p, **k))
    found = queue(*(job(n, 4) for n in range(1, 500)))
    for name in found.order:
        found.start_of(name)
    assert played == [PLAYED]


@pytest.mark.parametrize("worked", [0.0, 100.0, 2_000.0, 1e9])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_a_job_takes_is_no_less_than_what_it_has_had(worked: float, share: float) -> None:
    assert quantile(Estimate(600.0, 0.5), worked, share) >= worked
    assert math.isfinite(quantile(Estimate(600.0, 0.5), worked, share))


def test_the_median_job_takes_its_estimate_and_a_sure_one_nothing_else() -> None:
    assert quantile(Estimate(600.0, 0.5), 0.0, 0.5) == pytest.approx(600.0)
    assert quantile(Estimate(600.0, 0.0), 0.0, 0.9) == 600.0
    assert quantile(Estimate(600.0, 0.5), 0.0, 0.9) == pytest.approx(600 * math.exp(0.5 * 1.2816), rel=1e-3)


def test_a_job_that_may_meet_maintenance_is_not_told_to_start_before_it() -> None:
    shut = (Node("n", 4, windows=(Window(NOW + 900, NOW + 2000),)),)  # half are over in 600 s, 95 of 100 in 1,366 s
    found = Outlook(Snapshot(NOW, shut, (job(1, 4, error=0.5),)), PRESETS["easy"])
    start = found.start_of("j-1")
    assert start is not None
    assert start.at == NOW + 2000


def test_a_run_ends_when_its_estimate_says_given_what_it_has_done() -> None:
    found = queue(running=(runs(0, 4),))
    end = found.end_of(found.running["j-0"])
    assert end is not None
    assert end.at == NOW + 500
    assert queue().end_of(runs(0, 4, seconds=None)) is None


def test_a_run_that_is_stopped_for_maintenance_is_told_so_and_not_its_end() -> None:
    shut = (Node("a", 4, windows=(Window(NOW + 300, NOW + 900),)),)
    found = Outlook(Snapshot(NOW, shut, (), (runs(0, 2), runs(1, 2, seconds=None))), FIFO)
    assert found.leaves(found.running["j-0"]) == Moment(at=NOW + 300, stops=True)
    assert found.leaves(found.running["j-1"]) == Moment(at=NOW + 300, stops=True, by_limit=True)
    assert found.leaves(runs(0, 2, limit=200.0)) == Moment(at=NOW + 100, earliest=NOW + 100, latest=NOW + 100)


def test_where_only_a_time_limit_is_known_an_end_and_the_starts_after_it_are_told_as_the_latest() -> None:
    found = queue(job(1, 4), running=(runs(0, 4, seconds=None, limit=700.0),))
    assert found.end_of(found.running["j-0"]) == Moment(at=NOW + 600, by_limit=True)
    assert found.sure_start_of("j-1") == Moment(at=NOW + 600, by_limit=True)
    wait = found.wait_for("j-1")
    assert wait is not None
    assert "at the latest (time limits): j-0 should end before it" in wait.text
    sure = queue(job(1, 4), running=(runs(0, 4, limit=700.0),))
    assert sure.start_of("j-1") == Moment(at=NOW + 500)


def test_a_limit_where_a_job_cannot_run_makes_no_latest_start_of_it() -> None:
    limited = replace(runs(0, 4, seconds=None, limit=300.0), placement=(Share("other", 4),))
    there = job(1, 4)
    there = replace(there, demand=replace(there.demand, constraints=Constraints(gpu_types=("y",))))
    nodes = (Node("other", 4, gpu_type="x"), Node("b", 4, gpu_type="y"))
    slow = runs(2, 4, node="b", error=0.5)
    found = Outlook(Snapshot(NOW, nodes, (there,), (limited, slow)), PRESETS["easy"])
    start = found.sure_start_of("j-1")
    assert start is not None
    assert not start.by_limit
    assert start.earliest is not None
    assert start.earliest < start.at
    assert "at the latest" not in found.wait_for("j-1").text + found.reason("j-1").text  # type: ignore[union-attr]


def test_a_limit_that_is_waited_for_longest_makes_a_latest_start_unless_an_estimate_may_outlast_it() -> None:
    limited = runs(0, 2, seconds=None, limit=3_000.0)
    beside = queue(job(1, 4), job(2, 4), running=(limited, runs(3, 2, error=0.3)))
    assert [beside.start_of(name).by_limit for name in ("j-1", "j-2")] == [True, True]  # type: ignore[union-attr]
    assert beside.latest_of("j-1", NOW + 2_900).by_limit
    unsure = queue(job(1, 4), running=(limited, runs(3, 2, seconds=2_000.0, error=1.0)))
    assert not unsure.start_of("j-1").by_limit  # type: ignore[union-attr]
    assert not unsure.latest_of("j-1", NOW + 2_900).by_limit
    longer = queue(job(1, 4, seconds=9_000.0), job(2, 4), running=(limited, runs(3, 2)))
    assert [longer.start_of(name).by_limit for name in ("j-1", "j-2")] == [True, False]  # type: ignore[union-attr]


def whatif(found: Outlook, workers: str = "2", seconds: float = 600.0) -> WhatIf:
    estimate = EstimateView(seconds=seconds, error=SURE)
    return WhatIf(found, candidate(workload(workers), CAPACITY, found, estimate=estimate), {"j-1": "other"})


def test_a_job_more_goes_by_its_estimate_where_only_the_cluster_sets_a_limit() -> None:
    month, estimate = 30 * 86_400.0, EstimateView(seconds=600.0, error=0.5)
    found = candidate(workload("2"), CAPACITY, queue(), estimate=estimate, limit=month)
    assert (found.limit, found.max_time) == (None, month)
    found = candidate(workload("2"), CAPACITY, queue(), estimate=None, limit=month)
    assert (found.limit, found.max_time) == (month, month)


def test_a_job_more_waits_for_its_turn_and_delays_nobody_before_it() -> None:
    view = whatif(queue(job(1, 4), running=(runs(0, 4),))).view("p", [], live=True)
    (option,) = view.options
    assert (view.position, view.waiting, option.delayed) == (2, 1, 0)
    assert option.start is not None
    assert (option.start.at, option.waits) == (NOW + 1100, 1100)
    assert option.reason


def test_a_job_of_higher_priority_names_whom_it_delays_and_by_how_much() -> None:
    found = Outlook(queue(job(1, 4), job(2, 4), running=(runs(0, 4),)).snapshot, PRESETS["priority"])
    mine = candidate(
        workload("4").model_copy(update={"priority": 900}), CAPACITY, found, estimate=EstimateView(seconds=60, error=0)
    )
    (option,) = WhatIf(found, mine, {"j-1": "other"}).view("p", [], live=True).options
    assert [(delay.job, delay.name, delay.seconds) for delay in option.delays] == [
        ("j-1", "other", 60),
        ("j-2", "", 60),
    ]


def test_a_job_behind_others_is_told_until_when_it_waits_and_which_jobs_come_before_it() -> None:
    found = queue(job(1, 4), job(2, 2), job(3, 4), running=(runs(0, 4),))
    wait = found.wait_for("j-2")
    assert wait is not None
    assert (wait.at, wait.ends, wait.starts) == (NOW + 1_100, ("j-0", "j-1"), ())
    assert wait.text == "wait until about 1970-01-01 03:05:00 UTC: 2 jobs (j-0, j-1) should end before it"
    # Played up to that time, the job starts.
    assert found.likely.starts["j-2"] == wait.at


def test_nobody_is_told_to_wait_for_what_is_not_in_sight() -> None:
    assert queue(job(1, 4), running=(runs(0, 4, seconds=None),)).wait_for("j-1") is None
    assert queue(job(1, 4)).wait_for("j-1") is None  # starts now
    assert queue(job(1, 4, held=True), running=(runs(0, 4),)).wait_for("j-1") is None


def test_a_job_far_behind_is_played_with_all_before_it_or_told_by_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = queue(*(job(n, 4) for n in range(1, PLAYED + 11)))
    played = found.wait_for(f"j-{PLAYED + 10}")
    assert played is not None
    assert (played.at, len(played.ends)) == (NOW + 600 * (PLAYED + 9), PLAYED + 9)
    monkeypatch.setattr(module, "FURTHER", PLAYED)
    reckoned = found.wait_for(f"j-{PLAYED + 10}")
    assert reckoned is not None
    assert (reckoned.at, reckoned.before) == (played.at, PLAYED + 9)
    assert "59 jobs before it should be done with most of their work" in reckoned.text


def test_behind_others_on_a_drained_node_the_wait_after_it_is_resumed_is_told() -> None:
    node = Node("a", 4, state="drained")
    found = Outlook(Snapshot(NOW, (node,), (job(1, 4), job(2, 4)), (runs(0, 4),)), FIFO)
    told = WhyView(job="j-2", name="", state="queued", now=NOW, reason="")
    first = waiting_view(told, found, (), more_nodes=False).remedies[0]
    assert (first.command, first.proved) == ("orchestrator cluster resume a", False)
    assert first.text.startswith(f"resume a, and wait until about {utc(NOW + 1100)}: ")


def urgent(found: Outlook, seconds: float) -> WhatIf:
    mine = workload("4").model_copy(update={"priority": 900})
    estimate = EstimateView(seconds=seconds, error=0)
    return WhatIf(found, candidate(mine, CAPACITY, found, estimate=estimate), {})


def test_a_job_that_nobody_knows_the_end_of_is_delayed_by_its_start() -> None:
    found = Outlook(queue(job(1, 4, seconds=None), running=(runs(0, 4),)).snapshot, PRESETS["priority"])
    (option,) = urgent(found, 3_600.0).view("p", [], live=True).options
    assert (option.delayed, option.delays[0].job, option.delays[0].seconds) == (1, "j-1", 3_600)


def test_a_delay_that_only_time_limits_tell_of_says_so() -> None:
    blind = replace(job(1, 4, seconds=None), limit=3_600.0)
    found = Outlook(queue(blind, job(2, 4), running=(runs(0, 4),)).snapshot, PRESETS["priority"])
    (option,) = urgent(found, 600.0).view("p", [], live=True).options
    assert [(d.job, d.by_limit) for d in option.delays] == [("j-1", True), ("j-2", True)]
    (option,) = urgent(queue(job(1, 4), running=(runs(0, 4),)), 600.0).view("p", [], live=True).options
    assert not any(d.by_limit for d in option.delays)


def test_a_job_that_is_pushed_beyond_what_is_looked_at_is_delayed_at_least_so_long() -> None:
    found = Outlook(queue(job(1, 4), running=(runs(0, 4),)).snapshot, PRESETS["priority"])
    (option,) = urgent(found, 8 * 86_400.0).view("p", [], live=True).options
    assert [(d.job, d.seconds, d.at_least) for d in option.delays] == [("j-1", module.HORIZON - 1_100, True)]


def test_the_last_job_that_is_played_through_is_so_with_one_job_more_too() -> None:
    found = Outlook(queue(*(job(n, 4) for n in range(PLAYED + 20))).snapshot, PRESETS["priority"])
    whatif = urgent(found, 3_600.0)
    (option,) = whatif.view("p", [], live=True).options
    assert option.delayed == PLAYED
    assert found.plus(whatif.job).near == (NEW, *found.near)
    assert "20 jobs behind them not" in whatif.view("p", [], live=True).notes[-1]


def test_a_job_far_behind_is_not_played_through_as_if_nobody_were_before_it() -> None:
    found = queue(*(job(n, 4) for n in range(PLAYED + 20)))
    after = found.plus(whatif(found).job)
    assert after.near == found.near
    start = after.start_of(NEW)
    assert start is not None
    assert start.at == NOW + 600 * (PLAYED + 20)


def test_each_width_is_an_option_and_takes_its_own_time() -> None:
    found = queue(running=(runs(0, 2),))
    view = whatif(found, "1..4", 600.0).view("p", [1, 4], live=True)
    assert [(o.workers_min, o.workers_max, o.workers) for o in view.options] == [(1, 4, 2), (4, 4, None), (1, 1, 1)]
    ends = [o.end.at - o.start.at for o in view.options[1:] if o.end is not None and o.start is not None]
    assert ends == [600, 2400]


def test_a_width_that_ends_later_than_one_that_takes_less_is_marked_as_worse() -> None:
    found = queue(running=(runs(0, 2, seconds=6000.0),))
    view = whatif(found, "1..4", 600.0).view("p", [1, 2, 4], live=True)
    assert [(o.workers_max, o.worse) for o in view.options] == [(4, False), (2, False), (1, False), (4, True)]


def test_a_command_takes_as_long_with_any_number_of_workers_submitted_or_asked_for() -> None:
    profile = ClusterProfile.model_validate({"name": "p", "backend": "local", "nodes": [{"name": "a"}]})
    ends, worse = set(), []
    for workers, widths in (("4", [1, 2]), ("1", [2, 4]), ("2", [])):
        asked = workload(workers).model_copy(update={"time_limit": 600.0})
        expected = estimate_of(asked, None)
        assert expected is not None
        told = EstimateView(seconds=expected.seconds, error=expected.error, exponent=expected.exponent)
        view = offline_view(asked, CAPACITY, profile, widths, estimate=told, now=NOW)
        ends |= {option.end.at - NOW for option in view.options if option.end is not None}
        worse += [option.workers_max for option in view.options if option.worse]
    assert ends == {240.0}
    assert worse == [2, 2, 4]  # more workers for nothing


def test_whose_a_job_would_be_is_told_and_what_looks_like_a_typo() -> None:
    found = queue(replace(job(1, 1), team="video"))
    asked = workload("1").model_copy(update={"team": "vidoe"})
    view = WhatIf(found, candidate(asked, CAPACITY, found, estimate=None), {}).view("p", [], live=True)
    assert view.notes == ["it is charged to team vidoe, which had no job before; did you mean 'video'?"]


def test_the_empty_cluster_starts_what_fits_at_once() -> None:
    profile = ClusterProfile.model_validate({"name": "p", "backend": "local", "nodes": [{"name": "a"}]})
    view = offline_view(workload("1..4"), CAPACITY, profile, [], estimate=None, now=NOW)
    assert not view.live
    assert [(o.workers_max, o.waits) for o in view.options] == [(4, 0), (1, 0), (2, 0), (4, 0)]
    assert "nobody has an idea how long it takes" in view.notes[0]


def test_the_empty_cluster_has_its_maintenance_and_the_limits_of_its_teams() -> None:
    closed = {"nodes": ["a"], "start": NOW - 60, "end": NOW + 600}
    document = {"name": "p", "backend": "local", "nodes": [{"name": "a"}], "maintenance": [closed]}
    teams = [{"name": "default", "limit": 2}]
    profile = ClusterProfile.model_validate(document | {"teams": teams})
    estimate = EstimateView(seconds=60, error=0.0, exponent=1.0)
    view = offline_view(workload("1..4"), CAPACITY, profile, [2, 4], estimate=estimate, now=NOW)
    assert [(o.workers_max, o.waits) for o in view.options] == [(4, 600), (2, 600), (4, None)]


@pytest.mark.parametrize(("workers", "widths"), [("4", []), ("1..2", [1, 2]), ("2..16", [2, 8, 16])])
def test_some_widths_are_the_ends_and_one_between(workers: str, widths: list[int]) -> None:
    assert some_widths(workload(workers)) == widths


def test_the_fewest_workers_that_the_policy_starts_a_job_with_are_told() -> None:
    found = Outlook(queue(running=(runs(0, 3),)).snapshot, PRESETS["default"])
    notes = [whatif(found, workers, 600.0).view("p", [], live=True).notes for workers in ("1..4", "2..4", "4")]
    assert [sum("elastic.floor is 0.6 of the most" in note for note in each) for each in notes] == [1, 0, 0]


def test_the_new_job_has_a_name_that_no_job_has() -> None:
    assert candidate(workload(), CAPACITY, queue(job(1)), estimate=None).id == NEW
