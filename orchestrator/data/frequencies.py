"""How many rows of a split have each class, from a column of one label a row or of lists of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from orchestrator.base.errors import DataError, UsageError
from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.reader import Rows
from orchestrator.data.schema import Schema

MOST_CLASSES = 1 << 24

_LABELS_AT_ONCE = 1 << 20
_RECORDS_AT_ONCE = 1024

Progress = Callable[[int, int], None]


class Readable(Protocol):
    """What is asked of a split here; `ShardedDataset` is one."""

    @property
    def schema(self) -> Schema:
        """Its columns."""
        ...

    def __len__(self) -> int: ...

    def fixed_column(self, name: str, *, checked: bool = True) -> AnyArray:
        """All values of an 8-byte column, verified unless said otherwise."""
        ...

    def read_many(self, rows: Int64s) -> Rows:
        """Records, verified."""
        ...


def label_counts(labels: AnyArray, progress: Progress | None = None) -> Int64s:
    """(classes,) how many rows have each label; -1 is no class.

    Raises:
        DataError: a label is no class number.
    """
    counts = np.zeros(1, dtype=np.int64)
    for start in range(0, len(labels), _LABELS_AT_ONCE):
        piece = np.asarray(labels[start : start + _LABELS_AT_ONCE])
        if piece.min() < -1 or piece.max() >= MOST_CLASSES:
            raise DataError(f"labels {piece.min()} to {piece.max()} are no class numbers: -1 to {MOST_CLASSES - 1}")
        counts = _added(counts, np.bincount(piece + 1))
        if progress is not None:
            progress(min(len(labels), start + _LABELS_AT_ONCE), len(labels))
    return counts[1:]


class ListedClasses:
    """The classes of every row of a column of lists, counted in one pass and kept in a compact file.

    Every record is read and its checksum verified, whole: a flipped bit in a tag would change the order of every epoch.

    Args:
        dataset: the split.
        column: of kind int64_list.
        scratch: a folder for the compact file.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: a record is corrupt, or a number in a list is no class number.
    """

    def __init__(self, dataset: Readable, column: str, scratch: Path, progress: Progress | None = None) -> None:
        self._rows = len(dataset)
        self._file = scratch / "classes.bin"
        self.counts = np.zeros(0, dtype=np.int64)
        with self._file.open("wb") as file:
            for start in range(0, self._rows, _RECORDS_AT_ONCE):
                stop = min(self._rows, start + _RECORDS_AT_ONCE)
                owners, classes = _read_lists(dataset, column, start, stop)
                self.counts = _added(self.counts, np.bincount(classes))
                lengths = np.bincount(owners, minlength=stop - start)
                file.write(np.concatenate([lengths, classes]).astype("<u4").tobytes())
                if progress is not None:
                    progress(stop, self._rows)

    def rarest(self, factors: Int64s) -> Iterator[tuple[int, Int64s]]:
        """(first row, codes) of pieces of the split: each row's class of the greatest factor; of equal ones the least.

        Args:
            factors: (classes + 1,); the last number stands for no class.
        """
        classes = len(factors) - 1
        ranking = np.lexsort((np.arange(classes), -factors[:classes]))
        rank = np.empty(classes + 1, dtype=np.int64)
        rank[ranking] = np.arange(classes)
        by_rank = np.append(ranking, classes)
        with self._file.open("rb") as file:
            for start in range(0, self._rows, _RECORDS_AT_ONCE):
                lengths = _numbers(file.read(4 * min(_RECORDS_AT_ONCE, self._rows - start)))
                found = _numbers(file.read(4 * int(lengths.sum())))
                best = np.full(len(lengths), classes, dtype=np.int64)
                np.minimum.at(best, np.repeat(np.arange(len(lengths)), lengths), rank[found])
                yield start, by_rank[best]

    def close(self) -> None:
        """Delete the compact file."""
        self._file.unlink()


def _read_lists(dataset: Readable, column: str, start: int, stop: int) -> tuple[Int64s, Int64s]:
    """(row - start, class) of every class that is in a list, each once a row, rising."""
    found = dataset.read_many(np.arange(start, stop, dtype=np.int64))
    if found.skipped.size:
        raise DataError(
            f"classes cannot be counted: row {found.skipped[0]} is corrupt", hint="orchestrator data verify DATASET"
        )
    if not dataset.schema.column(column).kind == "int64_list":
        raise UsageError(f"column {column!r} is no list of class numbers")
    views = [bytes(view) for view in found.values[column]]
    owners = np.repeat(np.arange(stop - start), [len(view) // 8 for view in views])
    classes = np.frombuffer(b"".join(views), dtype="<i8")
    if classes.size and (classes.min() < 0 or classes.max() >= MOST_CLASSES):
        raise DataError(f"column {column!r} holds {classes.min()} to {classes.max()}: class numbers begin at 0")
    pairs = np.unique(owners * MOST_CLASSES + classes)
    return pairs // MOST_CLASSES, pairs % MOST_CLASSES


def _added(counts: Int64s, more: Int64s) -> Int64s:
    longer, shorter = (counts, more) if len(counts) >= len(more) else (more, counts)
    total = longer.astype(np.int64)
    total[: len(shorter)] += shorter
    return total


def _numbers(content: bytes) -> Int64s:
    return np.frombuffer(content, dtype="<u4").astype(np.int64)
