"""What a person sees of local work whose end is not known yet."""

import itertools

from orchestrator.cli.progress import LISTING, _count_in_lines, _Rate


def test_listing_is_told_now_and_then_and_the_end_of_the_work_after_it() -> None:
    told: list[str] = []
    clock = itertools.count(step=6)
    show = _count_in_lines("building photos", _Rate("samples"), write=told.append, monotonic=lambda: float(next(clock)))
    for seen in (60_000, 120_000, 180_000):
        show(seen, LISTING)
    show(0, 200)
    show(200, 200)
    assert told[0] == "building photos listing: 120,000 looked at"
    assert told[-1].startswith("building photos 200/200 samples")
