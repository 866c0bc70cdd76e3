"""How corrupt records that were left out are told: by shard, now and then, each once."""

from __future__ import annotations

from pathlib import Path

from orchestrator.data.index import DatasetIndex
from orchestrator.recipes.skipped import NAMED, SkipLog, SkippedRows, by_shard


def test_rows_are_told_once_and_not_too_often(digits: Path) -> None:
    index, clock, told = DatasetIndex.open(digits), [0.0], list[SkippedRows]()
    log = SkipLog(told.append, interval=5, now=lambda: clock[0])
    log.note(index, "train", {7})
    log.note(index, "train", {7, 9})
    assert [found.rows for found in told] == [(7,)]
    clock[0] = 6
    log.note(index, "train", {3, 7, 9})
    assert [found.rows for found in told] == [(7,), (3, 9)]
    log.note(index, "test", {1})
    log.flush()
    log.flush()
    assert [(found.split, found.rows) for found in told[2:]] == [("test", (1,))]


def test_each_shard_is_named_with_the_first_of_its_rows_and_their_number(digits: Path) -> None:
    index = DatasetIndex.open(digits)
    [found] = by_shard(index, "validation", range(200))
    assert (found.shard, found.count, len(found.rows)) == ("validation-00000.arrow", 200, NAMED)
    assert str(found).startswith("left out 200 corrupt records of validation-00000.arrow: validation rows 0, 1, 2")
    assert str(found).endswith("99, …")
