"""What a person sees of local work whose end is not known yet."""

import itertools

import pytest

from orchestrator.cli import progress
from orchestrator.cli.progress import LISTING, counter


def test_listing_is_told_now_and_then_and_the_work_after_it_by_tenths(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(step=4)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with counter("building photos", "samples") as show:
        for seen in (0, 60_000, 120_000, 180_000):
            show(seen, LISTING)
        show(0, 200)
        show(200, 200)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "building photos listing: 120,000 looked at"
    assert [line.split(",")[0] for line in told[-2:]] == [
        "building photos 0/200 samples",
        "building photos 200/200 samples",
    ]
