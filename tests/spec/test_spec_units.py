"""Quantities as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orchestrator.spec.units import (
    CountRange,
    Interval,
    WorkerRange,
    as_written,
    parse_bytes,
    parse_count,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [(0, 0), (512, 512), ("512", 512), ("512B", 512), ("1KiB", 1024), ("32GiB", 32 * 2**30), ("1.5 MiB", 1572864),
     ("500MB", 500_000_000), ("2kB", 2000), ("1TB", 10**12), ("1e3", 1000)],
)  # fmt: skip
def test_sizes(text: object, number: int) -> None:
    assert parse_bytes(text) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(0, 0), (1.5, 1.5), ("90", 90), ("90s", 90), ("90m", 5400), ("36h", 129600), ("1h30m", 5400), ("1h 30m", 5400),
     ("500ms", 0.5), ("1d", 86400), ("1.5h", 5400), ("1e3", 1000)],
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "number"),
    [(7, 7), ("7", 7), ("200M", 200_000_000), ("1.5G", 1_500_000_000), ("2B", 2 * 10**9), (1e3, 1000)],
)
def test_counts(text: object, number: int) -> None:
    assert parse_count(text) == number


@pytest.mark.parametrize("parse", [parse_bytes, parse_duration, parse_count])
@pytest.mark.parametrize(
    "wrong",
    [None, True, [], {}, "", " ", "-1", -1, "x", "1x", "1 2", "inf", "nan", float("inf"), float("nan"), 10**400,
     "9" * 400, "1e999", "0x10", "1_000", "１２"],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(parse: object, wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^(expected|longer|larger) "):
        parse(wrong)  # type: ignore[operator]


def test_a_unit_in_the_wrong_case_is_answered_with_the_right_one() -> None:
    with pytest.raises(ValueError, match="did you mean GiB"):
        parse_bytes("32gib")


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.5 is not a whole number"):
        parse_bytes(1.5)


@pytest.mark.parametrize("text", ["30d", "1h30m", "10ms", "2d12h5m1s", "0s"])
def test_a_duration_is_written_as_people_write_it(text: str) -> None:
    assert as_written(parse_duration(text)) == text


def test_no_duration_is_longer_than_ten_years() -> None:
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration("4000d")


@pytest.mark.parametrize(
    ("text", "low", "high"), [("2..8", 2, 8), (4, 4, 4), ("4", 4, 4), ("1.5..2.5", 1.5, 2.5), ("1e-3 .. 1", 0.001, 1)]
)
def test_intervals(text: object, low: float, high: float) -> None:
    interval = Interval.model_validate(text)
    assert (interval.low, interval.high) == (low, high)
    assert low in interval
    assert high + 1 not in interval


@pytest.mark.parametrize(
    "wrong", ["8..2", "..", "2..", "..2", "2...8", "a..b", "-1..2", True, None, [1, 2], "1..inf", ""]
)
@pytest.mark.parametrize("kind", [Interval, WorkerRange, CountRange])
def test_what_is_no_range_is_refused(kind: type[Interval], wrong: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(wrong)


@pytest.mark.parametrize("wrong", [0, "0..2", 1.5, "1..2.5", "1..2M"])
def test_workers_are_whole_and_some(wrong: object) -> None:
    with pytest.raises(ValidationError):
        WorkerRange.model_validate(wrong)


def test_a_range_is_written_as_people_write_it() -> None:
    assert Interval(low=12, high=28).model_dump() == "12..28"
    assert Interval(low=0.5, high=1e-7 + 0.5).model_dump() == "0.5..0.5000001"
    assert WorkerRange(low=2, high=8).model_dump() == "2..8"
    assert CountRange.model_validate("200M..400M").model_dump() == "200000000..400000000"


@given(*[st.floats(min_value=0, max_value=1e300)] * 2)
def test_what_is_written_reads_back_equal(one: float, other: float) -> None:
    interval = Interval(low=min(one, other), high=max(one, other))
    assert Interval.model_validate(interval.model_dump()) == interval
