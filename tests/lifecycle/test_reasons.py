"""Reasons for waiting, in words and numbers."""

import datetime

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lifecycle import reasons
from orchestrator.lifecycle.reasons import Holder


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_utc_agrees_with_the_library(seconds: int) -> None:
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    expected = epoch + datetime.timedelta(seconds=seconds)
    assert reasons.utc(seconds) == f"{expected.year:04d}" + expected.strftime("-%m-%d %H:%M:%S UTC")


def test_too_few_slots_names_the_largest_holders_first() -> None:
    holders = [Holder("j-a", 1, 0), Holder("j-b", 3, 60), Holder("j-c", 1, 5), Holder("j-d", 1, 9)]
    assert reasons.too_few_slots(4, 2, 8, "gpu", holders).text == (
        "needs 4 gpu slots; 2 of 8 free; j-b holds 3 since 1970-01-01 00:01:00 UTC, "
        "j-a holds 1 since 1970-01-01 00:00:00 UTC, j-c holds 1 since 1970-01-01 00:00:05 UTC and 1 more"
    )


def test_a_back_off_says_until_when_and_that_the_place_is_kept() -> None:
    reason = reasons.backing_off(86_400.0, 2)
    assert reason.text == "failed 2 times; starts again after 1970-01-02 00:00:00 UTC; its place is kept"
    assert reason.until == 86_400.0


def test_dependencies_are_named_up_to_five() -> None:
    assert reasons.unmet_dependencies(["a"]).text == "waits until a has succeeded"
    assert reasons.unmet_dependencies(list("abcdefg")).text == "waits until a, b, c, d, e and 2 more have succeeded"


def test_positions_and_durations_are_for_people() -> None:
    assert reasons.position(57, 10_000) == "position 57 of 10,000"
    assert [reasons.duration(s) for s in (3.75, 180, 9000, 2_592_000.0)] == ["4 s", "3 min", "2.5 h", "30 d"]
    assert [reasons.duration(days * 86_400) for days in (2.5, 999.4, 1000)] == ["2.5 d", "999 d", "1,000 d"]
    assert [reasons.slots(n, "cpu") for n in (1, 2)] == ["1 cpu slot", "2 cpu slots"]
