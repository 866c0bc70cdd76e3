"""The time limit that Slurm is told."""

import itertools
import math
from typing import Any

from orchestrator.backends.slurm.limits import START_UP, Limit, limit_of
from orchestrator.rundir.launch import Launch

WARN = 120.0


def limit(*, elastic: bool = True, token: int = 1, **changes: Any) -> Limit:
    launch = Launch(job="j", run="j-r1", token=token, argv=("x",), workdir="/", workers=1, elastic=elastic)
    values = {"time_limit": None, "expected": None, "longest": None, "most": None, "default": None, "warn_before": WARN}
    return limit_of(launch, **{**values, **changes})


def test_a_persons_limit_is_reached_before_that_of_slurm() -> None:
    found = limit(time_limit=3600.0)
    assert found.seconds is not None
    assert found.seconds - found.warn >= 3600.0 + START_UP
    assert found.final


def test_an_estimate_leaves_time_to_begin_and_to_end() -> None:
    found = limit(expected=1000.0)
    assert found.minutes == math.ceil((1000.0 + START_UP + WARN) / 60)
    assert not found.final


def test_a_run_that_follows_others_has_more_time_to_begin_so_that_one_comes_to_work() -> None:
    minutes = [limit(expected=1000.0, token=token).minutes or 0 for token in (1, 2, 3)]
    assert [later - sooner for sooner, later in itertools.pairwise(minutes)] == [1, 2]


def test_a_short_estimate_is_not_trusted_to_the_second() -> None:
    assert limit(expected=5.0).minutes == limit(expected=600.0).minutes
    assert (limit(expected=5.0).seconds or 0) > 600.0


def test_the_lesser_of_estimate_and_limit_counts() -> None:
    assert not limit(time_limit=86_400.0, expected=600.0).final
    assert limit(time_limit=600.0, expected=86_400.0).final


def test_minutes_are_rounded_up_and_never_none() -> None:
    assert limit(time_limit=1.0, warn_before=30.0).minutes == 2
    assert limit(expected=1.0, most=60.0).minutes == 1


def test_it_is_never_above_what_the_partition_allows() -> None:
    found = limit(time_limit=86_400.0, most=3600.0)
    assert (found.minutes, found.final) == (60, False)  # a training goes on as another run
    found = limit(elastic=False, time_limit=86_400.0, most=3600.0)
    assert (found.minutes, found.final) == (60, True)  # a command would never get further


def test_a_command_gets_twice_our_estimate_and_twice_as_much_with_each_run() -> None:
    first, second = (limit(elastic=False, expected=6000.0, token=token).minutes or 0 for token in (1, 2))
    assert first * 60 >= 12_000
    assert second * 60 >= 24_000
    assert limit(elastic=False, expected=6000.0, token=500).minutes is not None


def test_without_any_idea_slurms_default_counts_for_what_saves_its_state() -> None:
    assert limit().minutes is None
    assert limit(most=3600.0).minutes is None
    assert limit(longest=7200.0).minutes == 120


def test_without_any_idea_a_command_gets_all_that_the_partition_allows() -> None:
    found = limit(elastic=False, most=7200.0)
    assert (found.minutes, found.final) == (120, True)
    assert (limit(elastic=False, most=math.inf).minutes or 0) > 10_000
    assert limit(elastic=False).minutes is None


def test_the_warning_comes_in_the_second_half_of_a_short_limit() -> None:
    assert limit(expected=1.0, most=60.0).warn == 30
    assert limit(expected=6000.0).warn == 120


def test_the_warning_comes_in_the_second_half_of_a_short_default() -> None:
    assert limit(default=60.0).warn == 30
    assert [limit(default=default).warn for default in (3600.0, math.inf, None)] == [120, 120, 120]


def test_every_limit_says_whose_it_is() -> None:
    assert "its time limit" in limit(time_limit=60.0).why
    assert "our estimate" in limit(expected=60.0).why
    assert "partition" in limit(time_limit=6000.0, most=60.0).why
    assert "slurm.longest" in limit(longest=60.0).why
