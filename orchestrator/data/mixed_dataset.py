"""The rows of several splits as those of one, which come in the order of a mixture: whatever reads a split reads it.

Its rows are those of the parts, counted on: part 0's first, then part 1's. So a batch of a mixture is made as any
other, in one piece and by the same code, and its augmentations are keyed by the position in the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.damage import OnCorrupt
from orchestrator.data.mixture import Mixture, mix
from orchestrator.data.order import SEQUENTIAL, Shuffle, starts_of
from orchestrator.data.reader import Rows, ShardedDataset
from orchestrator.data.resample import Resample
from orchestrator.data.schema import Column, Schema

Labels = Literal["shared", "offset"]
"""`shared`: all parts have one list of classes. `offset`: each has classes of its own, which are counted on."""


@dataclass(frozen=True)
class MixedPart:
    """One dataset of a mixture, not opened.

    Attributes:
        location: its folder or URL.
        weight: its share of the mixture is this over the sum of all weights.
        split: of it; None: the one that is asked for of all.
    """

    location: Path | str
    weight: float
    split: str | None = None


@dataclass(frozen=True)
class MixtureOf:
    """Which datasets to mix, to be opened by every process for itself.

    Attributes:
        parts: by name.
        length: positions of an epoch of the mixture; None: as many as there are rows.
        labels: see `Labels`.
    """

    parts: Mapping[str, MixedPart]
    length: int | None = None
    labels: Labels = "shared"

    def open(self, split: str, on_corrupt: OnCorrupt = "fail") -> MixedDataset:
        """Open the split of every part; errors as of `ShardedDataset` and `MixedDataset`."""
        opened = {
            name: ShardedDataset(part.location, part.split or split, on_corrupt=on_corrupt)
            for name, part in self.parts.items()
        }
        weights = {name: part.weight for name, part in self.parts.items()}
        return MixedDataset(opened, weights, self.length, labels=self.labels)


class MixedDataset:
    """Splits of several datasets, mixed by weights.

    Picklable: a copy opens the same files again.

    Args:
        parts: the splits by name, all with the same `on_corrupt`.
        weights: one of each.
        length: positions of an epoch of the mixture; None: as many as there are rows.
        labels: see `Labels`.

    Raises:
        UsageError: weights, length or parts make no sense together, or no column is in all of them.
    """

    def __init__(
        self,
        parts: Mapping[str, ShardedDataset],
        weights: Mapping[str, float],
        length: int | None = None,
        *,
        labels: Labels = "shared",
    ) -> None:
        self.parts = dict(parts)
        self.weights = dict(weights)
        self.length = sum(map(len, self.parts.values())) if length is None else length
        self.labels = labels
        self.corrupt_rows: set[int] = set()
        self._mixture = self.orders(seed=0, shuffle=SEQUENTIAL)  # for what no seed and no shuffle changes
        self._opened = tuple(self.parts.values())
        if len({part.on_corrupt for part in self._opened}) > 1:
            raise UsageError("the parts of a mixture must all have the same on_corrupt")
        common = set.intersection(*(set(part.schema.pairs) for part in self._opened))
        self.schema = Schema.of([pair for pair in self._opened[0].schema.pairs if pair in common])

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.parts, self.weights, self.length, self.labels)

    def __len__(self) -> int:
        return int(self._mixture.first_rows[-1])

    @property
    def version(self) -> str:
        """The mixture's version."""
        return self._mixture.version

    @property
    def on_corrupt(self) -> OnCorrupt:
        """That of all parts."""
        return self._opened[0].on_corrupt

    @property
    def remote(self) -> bool:
        """Whether any part is."""
        return any(part.remote for part in self._opened)

    @property
    def part_names(self) -> tuple[str, ...]:
        """Of the parts, in the order of their numbers."""
        return tuple(self.parts)

    @property
    def split_name(self) -> str:
        """Of the parts: one name where they agree."""
        return " + ".join(dict.fromkeys(part.split_name for part in self._opened))

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels of the mixture number.

        Raises:
            UsageError: labels are to be shared, and the parts have different classes; or to be offset, and one part
                does not say its classes.
        """
        lists = {name: part.classes for name, part in self.parts.items()}
        if self.labels == "offset":
            if without := [name for name, classes in lists.items() if not classes]:
                raise UsageError(f"labels cannot be offset: {', '.join(without)} does not say what its classes are")
            return tuple(name for classes in lists.values() for name in classes)
        (first, shared), *others = lists.items()
        for other, classes in others:
            if classes != shared:
                raise UsageError(
                    f"{first} and {other} have different classes: {_difference(shared, classes)}",
                    hint='labels="offset" gives each part classes of its own; or leave the labels out',
                )
        return shared

    def column(self, name: str) -> Column:
        """A column that all parts have.

        Raises:
            DataError: one has none of this name, or of another kind.
            UsageError: see `classes`.
        """
        column = self._opened[0].schema.column(name)
        for other, part in self.parts.items():
            if column not in part.schema.columns:
                raise DataError(f"{other} has no column {name!r} of kind {column.kind} as {self.part_names[0]} has")
        if column.kind == "label":
            _ = self.classes
        return column

    def orders(self, *, seed: int, shuffle: Shuffle, resample: Resample | None = None) -> Mixture:
        """The orders of its epochs; each part is shuffled and resampled in epochs of its own."""
        return mix(self.parts, self.weights, self.length, seed=seed, shuffle=shuffle, resample=resample)

    def parts_of(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        """The part's number and the row in it, of rows (N,) of the mixture."""
        return self._mixture.parts_of(rows)

    def read_many(self, rows: Int64s) -> Rows:
        """The records of `rows` (n,), in the order asked for; errors as of `ShardedDataset.read_many`."""
        numbers, own = self._located(rows)
        pieces: list[tuple[Int64s, Rows]] = []
        for number in np.unique(numbers).tolist() or [0]:
            places = np.flatnonzero(numbers == number)
            found = self._opened[number].read_many(own[places])
            pieces.append((places[~np.isin(own[places], found.skipped)], self._labelled(number, found)))
        merged = np.concatenate([places for places, _ in pieces])
        back = np.argsort(merged)
        values = {name: _merged([found.values[name] for _, found in pieces], back) for name in self._names}
        whole = np.zeros(len(rows), dtype=bool)
        whole[merged] = True
        self.corrupt_rows.update(rows[~whole].tolist())
        return Rows(rows[whole], values, rows[~whole])

    def check_table(self) -> None:
        """Verify the side table of every part; errors as of `ShardedDataset.check_table`."""
        for part in self._opened:
            part.check_table()

    def fixed_values(self, name: str, rows: Int64s) -> AnyArray:
        """The values (n,) of an 8-byte column of some rows; labels as `Labels` says."""
        column = self.schema.column(name)
        numbers, own = self._located(rows)
        values = np.empty(len(rows), dtype=np.float64 if column.kind == "float64" else np.int64)
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            found = self._opened[number].fixed_values(name, own[mine])
            values[mine] = self._offset(number, found) if column.kind == "label" else found
        return values

    def prefetch(self, rows: Int64s) -> None:
        """Say which rows (n,) are read next, in order; every part is told its own."""
        numbers, own = self._located(rows)
        for number, part in enumerate(self._opened):
            part.prefetch(own[numbers == number])

    def where(self, row: int) -> str:
        """The part's row, split, shard and location."""
        (number,), (own,) = (found.tolist() for found in self.parts_of(np.array([row], dtype=np.int64)))
        return f"{self.part_names[number]}: {self._opened[number].where(own)}"

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.schema.parts, *(column.name for column in self.schema.fixed))

    def _located(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < len(self)):
            raise NotFound(f"the mixture has rows 0 to {len(self) - 1} only")
        return self.parts_of(rows)

    def _labelled(self, number: int, found: Rows) -> Rows:
        """Rows with the labels of the mixture."""
        names = [column.name for column in self.schema.fixed if column.kind == "label"]
        changed = {name: self._offset(number, np.asarray(found.values[name])) for name in names}
        return Rows(found.rows, {**found.values, **changed}, found.skipped)

    def _offset(self, number: int, labels: AnyArray) -> AnyArray:
        """A part's labels as those of the mixture; what is no class stays -1."""
        if self.labels == "shared":
            return labels
        first = int(starts_of(np.array([len(part.classes) for part in self._opened], dtype=np.int64))[number])
        return np.where(labels < 0, labels, labels + first)


def open_rows(location: Path | str | MixtureOf, split: str, on_corrupt: OnCorrupt) -> ShardedDataset | MixedDataset:
    """Open a split of a dataset, or of all that are mixed."""
    if isinstance(location, MixtureOf):
        return location.open(split, on_corrupt)
    return ShardedDataset(location, split, on_corrupt=on_corrupt)


def _again(parts: dict[str, ShardedDataset], weights: dict[str, float], length: int, labels: Labels) -> MixedDataset:
    return MixedDataset(parts, weights, length, labels=labels)


def _merged(pieces: Sequence[Sequence[memoryview] | AnyArray], back: Int64s) -> Sequence[memoryview] | AnyArray:
    """The values of a column of all parts, put in order."""
    arrays = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    if arrays:
        values: AnyArray = np.concatenate(arrays)[back]
        return values
    views = [view for piece in pieces for view in piece]
    return [views[place] for place in back.tolist()]


def _difference(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    """The first class in which two lists differ."""
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} of them"
    number = next(number for number, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    return f"number {number} is {one[number]!r} and {other[number]!r}"
