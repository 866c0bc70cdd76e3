"""Verifies a dataset: every shard's SHA-256, size and Arrow schema, every record's checksum, and the side table.

A remote dataset is streamed, each shard once, past the node's cache: what is checked is what lies there, and nothing
that a run has in the cache is evicted for it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.base.errors import ShardCorrupt
from orchestrator.data.arrays import Int64s
from orchestrator.data.catalog import RowRange
from orchestrator.data.checksum import mismatches, record_seeds
from orchestrator.data.index import DatasetIndex
from orchestrator.data.quarantine import Quarantine
from orchestrator.data.table import TABLE_FILE

_CHUNK = 1 << 22
_ROWS_AT_ONCE = 4096
_MOST_THREADS = 8


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written.

    Attributes:
        file: its name.
        what: in words.
        rows: the rows of its split with wrong checksums; none: not known row by row.
        range: the rows of its split that the file holds; empty for the side table.
    """

    file: str
    what: str
    rows: tuple[int, ...] = ()
    range: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """The outcome of a check of every byte."""

    name: str
    version: str
    shards: int
    rows: int
    bytes: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.problems


def verify(location: Path | str, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Read every byte of a dataset and compare it with the index, several shards at once.

    A damaged shard is written to the quarantine; one that is found whole loses its record there, if it has one.

    Args:
        location: the dataset's folder or URL.
        progress: called after each shard with (rows done, rows in all).

    Raises:
        NotFound, DataError: there is no index that can be opened.
        RemoteUnavailable: it cannot be fetched now; nothing is said of the data then.
    """
    index = DatasetIndex.open(location)
    index.files.ensure_table()
    problems: list[Problem] = []
    if _file_digest(index.files.folder / TABLE_FILE) != index.header.table.sha256:
        problems.append(Problem(TABLE_FILE, "its SHA-256 is not the one in the index"))
    rows = index.table.shards["rows"].tolist()
    done, total = 0, sum(rows)
    checker = _Checker(index, Quarantine.of(index.catalog))
    with ThreadPoolExecutor(_threads()) as pool:
        try:
            for count, found in zip(rows, pool.map(checker.check, range(len(rows))), strict=True):
                problems.extend(found)
                done += count
                if progress is not None:
                    progress(done, total)
        except BaseException:
            checker.stop.set()
            raise
    size = int(index.table.shards["bytes"].sum())
    return VerifyReport(index.header.description.name, index.version, len(rows), done, size, tuple(problems))


class _Checker:
    """Checks one shard; called by several threads."""

    def __init__(self, index: DatasetIndex, quarantine: Quarantine) -> None:
        self._index = index
        self._quarantine = quarantine
        self.stop = threading.Event()

    def check(self, shard: int) -> list[Problem]:
        """What is wrong with a shard; the quarantine knows it then."""
        if self.stop.is_set():
            return []
        name, held = self._index.catalog.name(shard), self._index.catalog.rows(shard)
        try:
            problems = self._compare(name, held, shard, self._index.files.original(shard))
        except ShardCorrupt as error:
            problems = [Problem(name, error.message, range=str(held))]
        if problems:
            rows = next((problem.rows for problem in problems if problem.rows), ())
            what = "; ".join(problem.what for problem in problems)
            self._quarantine.add(shard, what, np.array(rows, dtype=np.int64) if rows else None)
        else:
            self._quarantine.release(shard)
        return problems

    def _compare(self, name: str, held: RowRange, shard: int, view: memoryview) -> list[Problem]:
        problems = []
        if hashlib.sha256(view).digest() != self._index.catalog.sha256(shard):
            what = "its SHA-256 is not the one in the index"
            problems.append(Problem(name, what + _schema_difference(self._index, view), range=str(held)))
        bad = _bad_rows(self._index, view, shard)
        if bad.size:
            first = self._index.split(held.split).first_row
            rows = tuple((bad - first).tolist())
            problems.append(Problem(name, "records with a wrong checksum", rows, str(held)))
        return problems


def _threads() -> int:
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)))


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _schema_difference(index: DatasetIndex, view: memoryview) -> str:
    """How the Arrow schema of a damaged shard differs from the index, in words; empty where it does not."""
    import pyarrow as pa  # a second to import, for damaged shards only

    from orchestrator.data.arrow import arrow_schema

    try:
        found = pa.ipc.open_file(pa.py_buffer(view)).schema
    except (pa.ArrowInvalid, OSError):
        return "; it is no readable Arrow file"
    expected = arrow_schema(index.schema)
    if found.equals(expected):
        return ""
    columns = ", ".join(f"{field.name}: {field.type}" for field in found)
    wanted = ", ".join(f"{field.name}: {field.type}" for field in expected)
    return f"; it is a shard of another dataset or schema: it has the columns ({columns}), the index has ({wanted})"


def _bad_rows(index: DatasetIndex, view: memoryview, shard: int) -> Int64s:
    """Rows, counted over the whole dataset, whose checksum differs."""
    start, stop = index.catalog.records(shard)
    bad: list[int] = []
    for first in range(start, stop, _ROWS_AT_ONCE):
        records = index.table.records[first : min(first + _ROWS_AT_ONCE, stop)]
        seeds = record_seeds([records[column.name] for column in index.schema.fixed], len(records)).tolist()
        blobs = []
        for part in index.schema.parts:
            begin = records[f"{part}.offset"]
            end = begin + records[f"{part}.length"]
            blobs.append([view[one:other] for one, other in zip(begin.tolist(), end.tolist(), strict=True)])
        bad += [first + row for row in mismatches(seeds, blobs, records["checksum"].tolist())]
    return np.array(bad, dtype=np.int64)
