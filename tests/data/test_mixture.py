from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.data.mixture import Mixture, Part, mix
from orchestrator.data.order import FULL, EpochOrder, Order, Shuffle
from orchestrator.data.reader import ShardedDataset

given_parts = st.lists(st.tuples(st.integers(4, 40), st.floats(0.05, 5)), min_size=1, max_size=4)
steady = settings(derandomize=True, deadline=None, max_examples=25)


def part(name: str, rows: int, weight: float, *, version: str = "v", shards: int = 0) -> Part:
    def order(epoch: int) -> Order:
        shuffle = Shuffle("window", 2) if shards else FULL
        by_shard = np.full(shards, rows // shards) if shards else None
        return EpochOrder(rows, seed=7, epoch=epoch, version=version + name, shuffle=shuffle, shard_rows=by_shard)

    return Part(name, version, rows, weight, order)


def mixture(sizes: list[tuple[int, float]], length: int, seed: int = 0) -> Mixture:
    return Mixture([part(str(number), *size) for number, size in enumerate(sizes)], length, seed=seed)


def rows(mixed: Mixture, epoch: int = 0) -> list[int]:
    return mixed.order(epoch).rows_between(0, mixed.length).tolist()


@steady
@given(sizes=given_parts, length=st.integers(80, 160), epoch=st.integers(0, 3))
def test_each_dataset_has_its_exact_count(sizes: list[tuple[int, float]], length: int, epoch: int) -> None:
    mixed = mixture(sizes, length)
    parts, _ = mixed.parts_of(np.array(rows(mixed, epoch)))
    assert np.bincount(parts, minlength=len(sizes)).tolist() == list(mixed.counts)
    total = sum(Fraction(weight) for _, weight in sizes)
    quotas = [Fraction(weight) * length / total for _, weight in sizes]
    assert sum(mixed.counts) == length
    assert all(abs(count - quota) < 1 for count, quota in zip(mixed.counts, quotas, strict=True))


@steady
@given(sizes=given_parts, length=st.integers(80, 120))
def test_no_row_comes_again_before_all_of_its_dataset_have_come(sizes: list[tuple[int, float]], length: int) -> None:
    mixed = mixture(sizes, length)
    walked = np.concatenate([rows(mixed, epoch) for epoch in range(8)])
    parts, own = mixed.parts_of(walked)
    for number, (size, _) in enumerate(sizes):
        mine = own[parts == number]
        for start in range(0, len(mine) - size + 1, size):
            assert sorted(mine[start : start + size].tolist()) == list(range(size))


@steady
@given(sizes=given_parts, length=st.integers(80, 120), epoch=st.integers(0, 3))
def test_the_places_of_a_row_are_where_it_stands(sizes: list[tuple[int, float]], length: int, epoch: int) -> None:
    mixed = mixture(sizes, length)
    whole = np.array(rows(mixed, epoch))
    order = mixed.order(epoch)
    for row in range(0, sum(size for size, _ in sizes), 3):
        assert order.places_of(row).tolist() == np.flatnonzero(whole == row).tolist()


@steady
@given(sizes=given_parts, length=st.integers(80, 120), data=st.data())
def test_a_mixed_epoch_resumes_at_any_position_for_any_world(
    sizes: list[tuple[int, float]], length: int, data: st.DataObject
) -> None:
    whole = rows(mixture(sizes, length), 1)
    start, world = data.draw(st.integers(0, length)), data.draw(st.integers(1, 9))
    merged = np.empty(length - start, dtype=np.int64)
    for rank in range(world):
        mine = np.arange(start + rank, length, world, dtype=np.int64)
        merged[mine - start] = mixture(sizes, length).order(1).rows_at(mine)
    assert merged.tolist() == whole[start:]


def test_batches_in_turn_and_batches_from_anywhere_are_of_the_same_order() -> None:
    sizes = [(5000, 0.6), (700, 0.3), (9, 0.1)]
    whole = np.array(rows(mixture(sizes, 9000), 1))
    order = mixture(sizes, 9000).order(1)
    starts = [*range(0, 1800, 60), 1790, 40, *range(5000, 5600, 60), *range(8700, 9000, 60)]
    for start in starts:
        assert (order.rows_between(start, start + 60) == whole[start : start + 60]).all()
    backwards = np.arange(5000, 4000, -7, dtype=np.int64)
    assert (order.rows_at(backwards) == whole[backwards]).all()
    assert order.rows_between(8990, 9010).tolist() == [*whole[8990:], *whole[:10]]


def test_datasets_are_mixed_everywhere_in_the_epoch() -> None:
    mixed = mixture([(5000, 0.6), (700, 0.3), (90, 0.1)], 10_000)
    parts, _ = mixed.parts_of(np.array(rows(mixed)))
    for start in range(0, 10_000, 1000):
        counts = np.bincount(parts[start : start + 1000], minlength=3)
        assert (np.abs(counts - [600, 300, 100]) < 20).all()


def test_epochs_and_seeds_place_the_datasets_otherwise() -> None:
    sizes = [(50, 0.5), (70, 0.5)]
    placed = {
        tuple(mixed.parts_of(np.array(rows(mixed, epoch)))[0].tolist())
        for mixed, epoch in ((mixture(sizes, 100), 0), (mixture(sizes, 100), 1), (mixture(sizes, 100, seed=1), 0))
    }
    assert len(placed) == 3


def test_a_window_shuffle_stays_a_window_in_a_mixture() -> None:
    mixed = Mixture([part("a", 4000, 1, shards=40), part("b", 4000, 1, shards=40)], 8000, seed=0)
    for start in range(0, 8000, 200):
        shards = np.unique(mixed.order(0).rows_between(start, start + 200) // 100)
        assert len(shards) <= 8  # two shards a window, at most two windows, of two datasets


def test_ten_billion_positions_need_no_memory_of_their_own() -> None:
    mixed = mixture([(10**10, 0.9), (10**9, 0.0999), (1000, 0.0001)], 10**10)
    order = mixed.order(2)
    positions = np.array([0, 1, 5 * 10**9, 10**10 - 1])
    for position, row in zip(positions.tolist(), order.rows_at(positions).tolist(), strict=True):
        assert position in order.places_of(row).tolist()[:2000] or row >= 11 * 10**9


def test_the_version_follows_the_versions_and_the_weights() -> None:
    one = Mixture([part("a", 10, 1.0), part("b", 10, 1.0)], 20, seed=0)
    newer = Mixture([part("a", 10, 1.0), part("b", 10, 1.0, version="w")], 20, seed=0)
    heavier = Mixture([part("a", 10, 1.0), part("b", 10, 2.0)], 20, seed=0)
    again = Mixture([part("a", 10, 1.0), part("b", 10, 1.0)], 20, seed=5)
    assert len({one.version, newer.version, heavier.version}) == 3
    assert again.version == one.version


def test_a_dataset_that_would_get_no_position_is_named() -> None:
    with pytest.raises(UsageError, match="1 would get none of 100 positions"):
        mixture([(10, 1.0), (10, 1e-6)], 100)


@pytest.mark.parametrize("sizes", [[], [(10, 0.0)], [(10, -1.0)], [(0, 1.0)], [(10, float("inf"))]])
def test_a_mixture_that_makes_no_sense_is_refused(sizes: list[tuple[int, float]]) -> None:
    with pytest.raises(UsageError):
        mixture(sizes, 10)


def test_splits_of_datasets_are_mixed_by_name(make_dataset: Callable[..., Path]) -> None:
    splits = {name: ShardedDataset(make_dataset(name, train=rows), "train") for name, rows in (("a", 30), ("b", 9))}
    mixed = mix(splits, {"a": 2.0, "b": 1.0}, 30, seed=1, shuffle=Shuffle("window", 2))
    parts, inside = mixed.parts_of(mixed.order(0).rows_between(0, 30))
    assert np.bincount(parts).tolist() == [20, 10]
    assert len(set(inside[parts == 0].tolist())) == 20
    assert set(inside[parts == 1].tolist()) == set(range(9))
    with pytest.raises(UsageError, match="do not fit"):
        mix(splits, {"a": 2.0}, 30, seed=1, shuffle=FULL)
