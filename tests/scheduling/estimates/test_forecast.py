"""How long a job runs: sums by hand, what makes it longer, widths, limits, and where it says that it is from."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from planted import DEVICE, plant

from orchestrator.blueprint.features import Features, Training
from orchestrator.scheduling.estimates.codec import (
    estimate_from_json,
    estimate_to_json,
    work_from_json,
    work_to_json,
)
from orchestrator.scheduling.estimates.forecast import RunEstimate, Work, forecast, limit_of
from orchestrator.scheduling.estimates.throughput import learn

NET = Features("regnet", 5e7, 1e6, 3e6, 40, 3072, 32, virtual_workers=8)
TRAINING = Training(NET, samples=100_000.0, evaluated=10_000.0, epochs=5.0)
WORK = Work("regnet", (TRAINING,), workers_min=1, workers_max=8)


def search(trials: int, **changes: object) -> Work:
    work = Work("regnet search", (TRAINING,) * trials, 1, 8, search=True, trials=trials)
    return replace(work, **changes)  # type: ignore[arg-type]


def test_it_is_the_start_the_steps_the_evaluations_and_the_ends_of_epochs() -> None:
    speed, found = learn([], DEVICE), forecast(replace(WORK, workers_max=1), [], DEVICE)
    steps, measured = 100_000 * speed.rate(NET).seconds, 10_000 * speed.evaluated(NET)
    assert found.seconds == pytest.approx(8 + steps + measured + 5 * 0.15)
    assert found.startup == 8
    assert found.evaluation == pytest.approx(measured)


@pytest.mark.parametrize("history", [0, 12])
def test_more_epochs_take_longer(history: int) -> None:
    measured = plant(history)
    works = [replace(WORK, trainings=(replace(TRAINING, samples=1e4 * n, epochs=float(n)),)) for n in (1, 2, 4, 8)]
    seconds = [forecast(work, measured, DEVICE).seconds for work in works]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[-1]


def test_more_workers_are_faster_but_cost_more_together() -> None:
    found = forecast(WORK, [], DEVICE)
    assert sorted(found.widths) == [1, 2, 4, 8]
    times = [found.widths[w] for w in (1, 2, 4, 8)]
    assert times == sorted(times, reverse=True)
    assert 8 * times[3] > times[0]
    assert found.seconds == found.widths[8]
    assert 0.5 < found.exponent < 1.0


def test_widths_between_follow_the_exponent() -> None:
    found = RunEstimate(10.0, 0.1, 4, {1: 40.0, 4: 10.0})
    assert found.exponent == 1.0
    assert found.at(2) == 20.0


def test_trials_run_side_by_side() -> None:
    alone, together = (forecast(replace(search(16), workers_max=w), [], DEVICE) for w in (1, 4))
    assert 2.5 < (alone.seconds - alone.startup) / (together.seconds - together.startup) < 4.0


def test_a_search_takes_no_less_than_one_trial_and_no_more_than_all() -> None:
    one = forecast(search(1), [], DEVICE)
    many = forecast(search(4), [], DEVICE)
    assert one.seconds <= many.seconds <= 4 * one.seconds


def test_concurrency_and_budget_of_a_search_count() -> None:
    base = forecast(search(16), [], DEVICE).seconds
    assert forecast(search(16, concurrency=2), [], DEVICE).seconds > base
    assert forecast(search(16, budget=0.3), [], DEVICE).seconds < base


def test_trials_that_were_not_looked_at_are_like_the_others() -> None:
    few = forecast(replace(search(4), trials=400), [], DEVICE)
    assert few.seconds == pytest.approx(forecast(search(400), [], DEVICE).seconds)


def test_it_says_what_it_is_from() -> None:
    history = plant(6)
    known = replace(WORK, trainings=(replace(TRAINING, features=history[0].features),))
    assert "nothing was measured" in forecast(WORK, [], DEVICE).source
    assert "6 measurements of other models on planted" in forecast(WORK, history, DEVICE).source
    assert "1 measurement of this very model" in forecast(known, history, DEVICE).source


def test_a_search_is_as_sure_as_its_trials_are_and_says_how_many_of_them_are_known() -> None:
    history = plant(12, noise=0.05)
    history += [replace(history[0], run=f"again{i}", at=50.0 + i) for i in range(5)]
    known = replace(TRAINING, features=history[0].features, samples=1e7)
    new = replace(TRAINING, features=replace(NET, flops=2e8, activations=4e6), samples=1e7)
    speed = learn(history, DEVICE)
    sure, unsure = speed.rate(known.features).error, speed.rate(new.features).error
    mixed = forecast(replace(search(2), trainings=(known, new)), history, DEVICE)
    seconds = [each.samples * speed.rate(each.features).seconds for each in (known, new)]
    expected = (seconds[0] * sure + seconds[1] * unsure) / sum(seconds)
    assert sure < expected < unsure
    assert mixed.error == pytest.approx(math.hypot(expected, 0.05), rel=0.02)
    assert forecast(replace(search(2), trainings=(new, known)), history, DEVICE).error == pytest.approx(mixed.error)
    assert "17 measurements on planted, of 1 of its 2 models among others" in mixed.source


def test_start_up_and_ends_of_epochs_are_learned() -> None:
    history = [replace(m, startup=40.0, epochs=10.0, epoch_seconds=20.0) for m in plant(20)]
    found, before = forecast(WORK, history, DEVICE), forecast(WORK, plant(20), DEVICE)
    assert found.startup == pytest.approx(40, rel=0.15)
    assert found.seconds - before.seconds == pytest.approx(40 - 8 + 5 * 2, rel=0.3)


def test_a_limit_is_kept_by_nearly_all_runs_and_is_whole_minutes() -> None:
    estimate = RunEstimate(3600.0, 0.3, 4, {1: 7200.0, 4: 3600.0})
    assert limit_of(estimate) == math.ceil(7200 * math.exp(2.3263478740408408 * 0.3) / 60) * 60
    assert limit_of(estimate, workers=4) < limit_of(estimate)
    assert limit_of(RunEstimate(1.0, 0.1, 1, {1: 1.0})) == 300


def test_the_interval_is_wider_the_less_is_known() -> None:
    sure, unsure = RunEstimate(100.0, 0.1, 1), RunEstimate(100.0, 1.0, 1)
    assert unsure.interval[0] < sure.interval[0] < 100 < sure.interval[1] < unsure.interval[1]


def test_works_and_estimates_are_read_back_as_they_were_written() -> None:
    work = search(3, concurrency=2)
    assert work_from_json(work_to_json(work)) == work
    estimate = forecast(work, [], DEVICE)
    assert estimate_from_json(estimate_to_json(estimate)) == estimate


@pytest.mark.parametrize("wrong", [{}, {"family": "x"}, {**NET.to_json(), "flops": -1}, {**NET.to_json(), "cores": 0}])
def test_features_of_another_kind_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Features.from_json(wrong)
