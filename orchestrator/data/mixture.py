"""Several datasets mixed by weights: an order over the rows of all of them, computed and not stored.

An epoch of the mixture has L positions; dataset d has exactly n_d of them, its share by largest remainder. Each dataset
is walked through epochs of its own, one after the other and each whole: at the k-th of its positions in epoch e of the
mixture stands number e n_d + k of its own endless sequence. So every row of a dataset comes once before any comes
again, however its own epochs and those of the mixture overlap.

Positions are cut into blocks. Before block b the first d datasets have had floor(b N_d / blocks) positions, N_d being
n_1 + … + n_d; inside a block a keyed permutation mixes them. A block is long enough that each dataset has a position in
it (two of the rarest one on average), and short, so that a window shuffle of a dataset stays a window.
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
from orchestrator.data.keyed import derive_key
from orchestrator.data.order import Order, Shuffle, starts_of
from orchestrator.data.permutation import KeyedPermutations
from orchestrator.data.proportion import MOST, Proportion
from orchestrator.data.tally import SplitRows


@dataclass(frozen=True)
class Part:
    """One dataset of a mixture.

    Attributes:
        name: for messages.
        version: of the dataset.
        rows: of its split.
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
    datasets: Mapping[str, SplitRows], weights: Mapping[str, float], length: int, *, seed: int, shuffle: Shuffle
) -> Mixture:
    """A mixture of splits by name, each shuffled in its own epochs.

    Args:
        datasets: the splits.
        weights: one of each.
        length: positions of an epoch of the mixture.
        seed: of the run.
        shuffle: of each split.

    Raises:
        UsageError: weights and datasets have not the same names, or see `Mixture`.
    """
    if datasets.keys() != weights.keys():
        raise UsageError(f"weights of {', '.join(weights)} do not fit the datasets {', '.join(datasets)}")
    parts = [
        Part(
            name,
            dataset.version,
            len(dataset),
            weights[name],
            EpochOrders(dataset, seed=seed, shuffle=shuffle).order,
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
        counts = mixture.counts
        # Two positions a block on average are at least one in every block, however the ends are rounded.
        self._blocks = max(1, min(counts) // 2)
        self._starts = Proportion(mixture.length, self._blocks)
        self._ends = [Proportion(total, self._blocks) for total in np.cumsum(counts).tolist()]
        key = derive_key("mixture", mixture.seed, epoch, mixture.version)
        self._inside = KeyedPermutations(key)

    def rows_at(self, positions: Int64s) -> Int64s:
        """The rows of the mixture at `positions` (N,); positions past the end wrap to the start."""
        positions = positions % self.positions
        block = self._block_of(positions)
        start = self._starts.at(block)
        size = self._starts.at(block + 1) - start
        place = self._inside.apply(positions - start, size, block)
        rows = np.empty_like(positions)
        lower = np.zeros_like(place)
        for part in range(len(self._mixture.parts)):
            done, upper = self._had(part, block), self._in_block(part, block)
            mine = np.flatnonzero((place >= lower) & (place < upper))
            rows[mine] = self._own_rows(part, done[mine] + (place - lower)[mine])
            lower = upper
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
        return self._positions_of(part, found[(found >= 0) & (found < count)])

    def _positions_of(self, part: int, numbers: Int64s) -> Int64s:
        """The positions (n,) of those numbers among a part's positions, rising."""
        block = Proportion(self._blocks, self._mixture.counts[part]).at(numbers)
        block += self._had(part, block + 1) <= numbers  # rounded twice, the estimate may be one too low
        lower = self._in_block(part - 1, block) if part else np.zeros_like(block)
        start = self._starts.at(block)
        place = lower + numbers - self._had(part, block)
        size = self._starts.at(block + 1) - start
        return np.sort(self._inside.invert(place, size, block) + start)

    def _own_rows(self, part: int, numbers: Int64s) -> Int64s:
        """The rows of the mixture at those numbers among a part's positions."""
        length = self._own.positions[part]
        own_epoch, place = np.divmod(numbers + self._epoch * self._mixture.counts[part], length)
        rows = np.empty_like(numbers)
        for epoch in np.unique(own_epoch).tolist():
            mine = own_epoch == epoch
            rows[mine] = self._own.of(part, epoch).rows_at(place[mine])
        rows += self._mixture.first_rows[part]
        return rows

    def _block_of(self, positions: Int64s) -> Int64s:
        block: Int64s = self._starts.first(positions + 1) - 1
        return block

    def _had(self, part: int, block: Int64s) -> Int64s:
        """How many positions a part has before each block."""
        upto = self._ends[part].at(block)
        return upto - self._ends[part - 1].at(block) if part else upto

    def _in_block(self, part: int, block: Int64s) -> Int64s:
        """How many positions the parts up to this one have inside each block."""
        inside: Int64s = self._ends[part].at(block + 1) - self._ends[part].at(block)
        return inside


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
