"""Commands by their history, and what is left of a job that runs."""

from __future__ import annotations

import pytest

from orchestrator.scheduling.estimates.eta import Watched, eta
from orchestrator.scheduling.estimates.forecast import RunEstimate
from orchestrator.scheduling.estimates.history import Asked, Finished, from_history

MINE = Asked("nightly", "ann", "digest")


def runs(*seconds: float, name: str = "nightly", owner: str = "ann", content: str = "digest") -> list[Finished]:
    return [Finished(name, owner, content, each, at=float(place)) for place, each in enumerate(seconds)]


def test_without_history_and_limit_nobody_has_an_idea() -> None:
    assert from_history(MINE, []) is None
    assert from_history(MINE, runs(60, name="other", content="other")) is None


def test_without_history_the_time_limit_says_something() -> None:
    found = from_history(Asked("nightly", limit=1000.0), [])
    assert found is not None
    assert (found.seconds, found.source) == (400, "from its time limit")
    assert found.error > 0.5


def test_the_last_runs_of_the_same_content_count() -> None:
    found = from_history(MINE, runs(5, 5, 100, 100, 100, 100, 100))
    assert found is not None
    assert found.seconds == pytest.approx(100)
    assert found.source == "from 5 finished runs of the same content"
    assert found.error < 0.25


def test_what_is_more_alike_comes_first() -> None:
    others = runs(10, content="other") + runs(1000, owner="bob", content="third")
    by_name = from_history(MINE, others)
    assert by_name is not None
    assert by_name.seconds == pytest.approx(10)
    assert "of this name by this owner" in by_name.source
    anybody = from_history(Asked("nightly", "eve"), others)
    assert anybody is not None
    assert anybody.seconds == pytest.approx(100)
    assert anybody.error > by_name.error


def test_times_that_differ_make_a_large_error() -> None:
    steady, wild = from_history(MINE, runs(90, 100, 110)), from_history(MINE, runs(10, 100, 1000))
    assert steady is not None
    assert wild is not None
    assert steady.seconds == pytest.approx(wild.seconds, rel=0.01)
    assert wild.error > 3 * steady.error


def test_no_run_takes_longer_than_its_limit() -> None:
    found = from_history(Asked("nightly", "ann", limit=50.0), runs(100))
    assert found is not None
    assert found.seconds == 50


EXPECTED = RunEstimate(1000.0, 0.3, 2, {1: 1900.0, 2: 1000.0}, startup=100.0)


def test_before_a_run_has_told_of_its_speed_the_estimate_counts() -> None:
    found = eta(Watched(0.0, None, 0.0, 0.0, 2), EXPECTED, 0.0)
    assert found is not None
    assert found.seconds == pytest.approx(900)
    assert found.low < 900 < found.high


def test_a_run_that_was_watched_for_long_knows_best() -> None:
    found = eta(Watched(0.5, 2000.0, 1000.0, 0.0, 2), EXPECTED, 1000.0)
    assert found is not None
    assert found.seconds == pytest.approx(2000, rel=0.15)


def test_in_its_first_seconds_a_run_is_hardly_believed() -> None:
    found = eta(Watched(0.01, 100_000.0, 1.0, 0.0, 2), EXPECTED, 1.0)
    assert found is not None
    assert 900 < found.seconds < 10_000


def test_time_passes_since_the_last_word() -> None:
    early, later = (eta(Watched(0.5, 100.0, 500.0, 0.0, 2), None, now) for now in (500.0, 560.0))
    assert early is not None
    assert later is not None
    assert early.seconds - later.seconds == pytest.approx(60)
    late = eta(Watched(0.5, 100.0, 500.0, 0.0, 2), None, 900.0)
    assert late is not None
    assert late.seconds == 0


def test_fewer_workers_need_longer() -> None:
    one, two = (eta(Watched(0.0, None, 0.0, 0.0, workers), EXPECTED, 0.0) for workers in (1, 2))
    assert one is not None
    assert two is not None
    assert one.seconds == pytest.approx(2 * two.seconds)


def test_nobody_has_an_idea_where_nothing_was_said() -> None:
    assert eta(Watched(0.0, None, 0.0, 0.0, 1), None, 0.0) is None


def test_what_is_done_has_nothing_left() -> None:
    found = eta(Watched(1.0, 0.0, 10.0, 0.0, 2), EXPECTED, 10.0)
    assert found is not None
    assert found.seconds < 0.1
