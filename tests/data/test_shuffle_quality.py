"""The shuffle is as good as a random permutation, as far as statistics can tell; all keys are fixed."""

import itertools
import math

import numpy as np
import pytest

from orchestrator.data.arrays import Int64s
from orchestrator.data.order import FULL, EpochOrder, Shuffle

ROWS = 40_000
SHARD = 1000
ALL_IN_ONE_WINDOW = Shuffle("window", ROWS // SHARD)
WINDOW = Shuffle("window", 4)


def order(shuffle: Shuffle, *, seed: int = 0, epoch: int = 0, rows: int = ROWS) -> Int64s:
    shards = np.full(rows // SHARD, SHARD, dtype=np.int64)
    made = EpochOrder(rows, seed=seed, epoch=epoch, version="v", shuffle=shuffle, shard_rows=shards)
    return made.rows_between(0, rows)


def unlikely(counts: np.ndarray, expected: float) -> bool:
    """Whether counts differ from an equal share by more than chance: chi-square more than four deviations too large."""
    freedom = counts.size - 1
    return bool(((counts - expected) ** 2 / expected).sum() > freedom + 4 * math.sqrt(2 * freedom))


@pytest.mark.parametrize("shuffle", [FULL, ALL_IN_ONE_WINDOW])
def test_every_tenth_of_the_epoch_holds_every_tenth_of_the_rows_alike(shuffle: Shuffle) -> None:
    tenths = order(shuffle) * 10 // ROWS
    counts = np.stack([np.bincount(part, minlength=10) for part in np.split(tenths, 10)])
    assert not unlikely(counts, ROWS / 100)


def test_a_row_falls_everywhere_over_the_epochs() -> None:
    places = np.array(
        [
            EpochOrder(100, seed=seed, epoch=epoch, version="v", shuffle=FULL).places_of(17)[0]
            for seed in range(40)
            for epoch in range(50)
        ]
    )
    assert not unlikely(np.bincount(places, minlength=100), 20)


@pytest.mark.parametrize("shuffle", [FULL, ALL_IN_ONE_WINDOW])
def test_neighbours_in_the_epoch_are_independent(shuffle: Shuffle) -> None:
    rows = order(shuffle)
    eighths = rows * 8 // ROWS
    pairs = np.bincount(eighths[:-1] * 8 + eighths[1:], minlength=64)
    assert not unlikely(pairs, (ROWS - 1) / 64)
    # Rows that lie side by side stay side by side about twice in a random permutation: once in each direction.
    assert (np.abs(np.diff(rows)) == 1).sum() < 12


@pytest.mark.parametrize("shuffle", [FULL, ALL_IN_ONE_WINDOW])
def test_how_far_rows_move_is_what_chance_would_do(shuffle: Shuffle) -> None:
    moved = np.abs(order(shuffle) - np.arange(ROWS)) / ROWS
    edges = np.linspace(0, 1, 21)
    expected = np.diff(2 * edges - edges**2) * ROWS  # two places of a circle's chord: density 2 (1 - x)
    counts = np.histogram(moved, edges)[0]
    assert ((counts - expected) ** 2 / expected).sum() < 19 + 4 * math.sqrt(38)


@pytest.mark.parametrize("shuffle", [FULL, WINDOW, ALL_IN_ONE_WINDOW])
def test_orders_of_other_epochs_and_seeds_are_uncorrelated(shuffle: Shuffle) -> None:
    orders = [order(shuffle, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1), (2**40, 7))]
    for first, second in itertools.combinations(orders, 2):
        # A window shuffle moves forty shards as blocks, so that chance alone correlates by about 1 / sqrt(40).
        bound = 4 / math.sqrt(ROWS if shuffle is not WINDOW else ROWS // SHARD)
        assert abs(np.corrcoef(first, second)[0, 1]) < bound
        assert (first == second).sum() < 10


def test_a_window_holds_its_shards_whole_and_mixes_them() -> None:
    rows = order(WINDOW)
    windows = np.split(rows // SHARD, ROWS // (4 * SHARD))
    for shards in windows:
        present, counts = np.unique(shards, return_counts=True)
        assert len(present) == 4
        assert (counts == SHARD).all()
        quarters = np.stack([np.bincount(np.searchsorted(present, part), minlength=4) for part in np.split(shards, 8)])
        assert not unlikely(quarters, SHARD / 8)


def test_which_shards_share_a_window_changes_with_the_epoch() -> None:
    def groups(epoch: int) -> set[frozenset[int]]:
        shards = order(WINDOW, epoch=epoch) // SHARD
        return {frozenset(part.tolist()) for part in np.split(shards, ROWS // (4 * SHARD))}

    assert not groups(0) & groups(1)


def test_all_orders_of_five_rows_come_equally_often_over_epochs() -> None:
    drawn = [
        tuple(EpochOrder(5, seed=3, epoch=epoch, version="v", shuffle=FULL).rows_between(0, 5).tolist())
        for epoch in range(2400)
    ]
    counts = np.array([drawn.count(each) for each in itertools.permutations(range(5))])
    assert not unlikely(counts, 20)


def test_a_full_shuffle_of_ten_billion_spreads_any_batch_over_all_of_them() -> None:
    rows = EpochOrder(10**10, seed=0, epoch=0, version="v", shuffle=FULL).rows_between(5 * 10**9, 5 * 10**9 + 50_000)
    assert not unlikely(np.bincount(rows // 10**8, minlength=100), 500)
    assert not unlikely(np.bincount(rows % 64, minlength=64), 50_000 / 64)
