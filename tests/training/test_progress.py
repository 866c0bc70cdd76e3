"""Progress is said once a second, with a rate and what is left."""

from __future__ import annotations

import pytest

from orchestrator.training.progress import Progress, ProgressMeter


def test_rate_and_remaining_time_follow_the_clock() -> None:
    now = [0.0]
    told: list[Progress] = []
    meter = ProgressMeter(1000, told.append, now=lambda: now[0])
    for step in range(1, 41):
        now[0] = step * 0.1
        meter.update(step * 10, 0)
    assert [p.samples for p in told] == [100, 200, 300, 400]
    assert told[-1].samples_per_second == pytest.approx(100, rel=0.05)
    assert told[-1].eta_seconds == pytest.approx(6, rel=0.05)


def test_an_old_rate_is_forgotten() -> None:
    now = [0.0]
    told: list[Progress] = []
    meter = ProgressMeter(10**6, told.append, now=lambda: now[0])
    for second in range(1, 101):
        now[0] = float(second)
        meter.update(second * 10 if second <= 50 else 500 + (second - 50) * 100, 0)
    assert told[-1].samples_per_second == pytest.approx(100, rel=0.01)


def test_there_is_no_rate_before_anything_happened() -> None:
    told: list[Progress] = []
    ProgressMeter(10, told.append, now=lambda: 0.0).update(0, 0, force=True)
    assert told == [Progress(0, 10, None, None, 0)]
