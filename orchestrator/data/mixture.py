"""Several datasets mixed by weights: an order over the rows of all of them, computed and not stored.

An epoch of the mixture has L positions; dataset d has exactly n_d of them, its share by largest remainder. Each dataset
is walked through epochs of its own, one after the other and each whole: at the k-th of its positions in epoch e of the
mixture stands number e n_d + k of its own endless sequence. So every row of a dataset comes once before any comes
again, however its own epochs and those of the mixture overlap; and a window shuffle of a dataset stays a window. Which
dataset stands where is `data.interleave`'s affair.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from orchestrator.base.errors import UsageError
from orchestrator.data.arrays import Int64s
from orchestrator.data.epochs import EpochOrders
from orchestrator.data.interleave import Interleaving
from orchestrator.data.keyed import derive_key
from orchestrator.data.order import Order, Shuffle, starts_of
from orchestrator.data.proportion import MOST
from orchestrator.data.resample import Resample
from orchestrator.data.tally import SplitRows

_AHEAD = 2048  # numpy takes hardly longer for so many numbers than for the share of a small batch


@dataclass(frozen=True)
class Part:
    """One dataset of a mixture.

    Attributes:
        name: for messages.
        version: of the dataset, and which of its splits.
        rows: of the split.
        weight: its share of the mixture is this over the sum of all weights.
        order: the order of its own epoch of a number; all have equally many positions.
    """

    name: str
    version: str
    rows: int
    weight: float
    order: Callable[[int], Order]


class Mixture:
    """Datasets mixed by weights; its rows are those of the parts, counted on: part 0's first, then part 1's.

    Args:
        parts: at least one; their names differ.
        length: positions of an epoch of the mixture.
        seed: of the run; mixes the parts. Each part's own order has its own.

    Raises:
        UsageError: a weight or a length makes no sense, or a part would get no position.
    """

    def __init__(self, parts: Sequence[Part], length: int, *, seed: int) -> None:
        self.parts = tuple(parts)
        self.length = length
        self.seed = seed
        self.counts = _counts(self.parts, length)
        self.first_rows = starts_of(np.array([part.rows for part in self.parts], dtype=np.int64))
        self._own = _OwnOrders(self.parts)

    @property
    def version(self) -> str:
        """SHA-256 over the parts' versions and weights, and the length, in hex."""
        visible = [[part.version, part.rows, Fraction(part.weight).as_integer_ratio()] for part in self.parts]
        return hashlib.sha256(json.dumps(["mixture", self.length, visible]).encode()).hexdigest()

    def order(self, epoch: int) -> MixedOrder:
        """The order of one epoch of the mixture."""
        return MixedOrder(self, self._own, epoch)

    def parts_of(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        """The part's number and the row in it, of rows (N,) of the mixture."""
        part = np.searchsorted(self.first_rows, rows, side="right") - 1
        return part, rows - self.first_rows[part]


def mix(
    datasets: Mapping[str, SplitRows],
    weights: Mapping[str, float],
    length: int,
    *,
    seed: int,
    shuffle: Shuffle,
    resample: Resample | None = None,
) -> Mixture:
    """A mixture of splits by name, each shuffled in its own epochs.

    Args:
        datasets: the splits.
        weights: one of each.
        length: positions of an epoch of the mixture.
        seed: of the run.
        shuffle: of each split.
        resample: of each split; its own epochs are then as long as that makes them.

    Raises:
        UsageError: weights and datasets have not the same names, or see `Mixture` and `EpochOrders`.
    """
    if datasets.keys() != weights.keys():
        raise UsageError(f"weights of {', '.join(weights)} do not fit the datasets {', '.join(datasets)}")
    parts = [
        Part(
            name,
            f"{dataset.version} {dataset.split.name}",
            len(dataset),
            weights[name],
            EpochOrders(dataset, seed=seed, shuffle=shuffle, resample=resample).order,
        )
        for name, dataset in datasets.items()
    ]
    return Mixture(parts, length, seed=seed)


class _OwnOrders:
    """The parts' own orders; the last ones that were used are kept."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._open: OrderedDict[tuple[int, int], Order] = OrderedDict()
        self.positions = tuple(self.of(number, 0).positions for number in range(len(parts)))

    def of(self, part: int, epoch: int) -> Order:
        order = self._open.pop((part, epoch), None) or self._parts[part].order(epoch)
        self._open[part, epoch] = order
        if len(self._open) > 2 * len(self._parts):  # a batch may lie across the end of every part's own epoch
            self._open.popitem(last=False)
        return order


class MixedOrder:
    """The order of one epoch of a mixture."""

    def __init__(self, mixture: Mixture, own: _OwnOrders, epoch: int) -> None:
        self.positions = mixture.length
        self._mixture, self._own, self._epoch = mixture, own, epoch
        self._ahead: dict[int, tuple[int, Int64s]] = {}
        self._parts = Interleaving(mixture.counts, derive_key("mixture", mixture.seed, epoch, mixture.version))

    def rows_at(self, positions: Int64s) -> Int64s:
        """The rows of the mixture at `positions` (N,); positions past the end wrap to the start."""
        parts, numbers = self._parts.at(positions % self.positions)
        in_turn = bool((positions[1:] - positions[:-1] == 1).all()) and int(positions.max(initial=0)) < self.positions
        rows = np.empty_like(numbers)
        for part in range(len(self._mixture.parts)):
            mine = np.flatnonzero(parts == part)
            if mine.size:
                rows[mine] = self._next_rows(part, numbers[mine]) if in_turn else self._own_rows(part, numbers[mine])
        return rows

    def rows_between(self, start: int, stop: int) -> Int64s:
        """The rows at positions start..stop."""
        return self.rows_at(np.arange(start, stop, dtype=np.int64))

    def places_of(self, row: int) -> Int64s:
        """All positions (n,) of one row of the mixture in this epoch, rising."""
        part, own_row = (int(number[0]) for number in self._mixture.parts_of(np.array([row], dtype=np.int64)))
        count, length = self._mixture.counts[part], self._own.positions[part]
        first = self._epoch * count
        numbers: list[Int64s] = [np.empty(0, dtype=np.int64)]
        for own_epoch in range(first // length, -(-(first + count) // length)):
            numbers.append(self._own.of(part, own_epoch).places_of(own_row) + own_epoch * length - first)
        found = np.concatenate(numbers)
        return np.sort(self._parts.places_of(part, found[(found >= 0) & (found < count)]))

    def _next_rows(self, part: int, numbers: Int64s) -> Int64s:
        """As `_own_rows`, of numbers without a gap; where they go on from the last ones, more are computed at once."""
        first, stop = int(numbers[0]), int(numbers[-1]) + 1
        start, rows = self._ahead.get(part, (stop, numbers))
        if not start <= first <= stop <= start + len(rows):
            goes_on = start <= first <= start + len(rows)
            until = min(max(stop, first + _AHEAD), self._mixture.counts[part]) if goes_on else stop
            start, rows = first, self._own_rows(part, np.arange(first, until, dtype=np.int64))
            self._ahead[part] = start, rows
        return rows[first - start : stop - start]

    def _own_rows(self, part: int, numbers: Int64s) -> Int64s:
        """The rows of the mixture at those numbers among a part's positions."""
        length = self._own.positions[part]
        numbers = numbers + self._epoch * self._mixture.counts[part]
        first, last = int(numbers.min()) // length, int(numbers.max()) // length
        if first == last:  # as of nearly every batch
            rows = self._own.of(part, first).rows_at(numbers - first * length)
            rows += self._mixture.first_rows[part]
            return rows
        own_epoch, place = np.divmod(numbers, length)
        rows = np.empty_like(numbers)
        for epoch in np.unique(own_epoch).tolist():
            mine = own_epoch == epoch
            rows[mine] = self._own.of(part, epoch).rows_at(place[mine])
        rows += self._mixture.first_rows[part]
        return rows


def _counts(parts: Sequence[Part], length: int) -> tuple[int, ...]:
    """Each part's positions, by largest remainder; of equal ones the earlier part."""
    if not parts or len({part.name for part in parts}) < len(parts):
        raise UsageError("a mixture needs datasets with names that differ")
    if not 0 < length <= MOST:
        raise UsageError(f"an epoch of a mixture has 1 to {MOST} positions, not {length}")
    if any(not 0 < part.weight < float("inf") or part.rows < 1 for part in parts):
        raise UsageError("every dataset of a mixture needs rows and a weight above 0")
    weights = [Fraction(part.weight) for part in parts]
    quotas = [weight * length / sum(weights) for weight in weights]
    counts = [int(quota) for quota in quotas]
    by_rest = sorted(range(len(parts)), key=lambda number: (counts[number] - quotas[number], number))
    for number in by_rest[: length - sum(counts)]:
        counts[number] += 1
    if 0 in counts:
        name = parts[counts.index(0)].name
        raise UsageError(f"{name} would get none of {length} positions", hint="lengthen the epoch or raise its weight")
    return tuple(counts)
