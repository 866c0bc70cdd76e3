import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.order import FULL, SEQUENTIAL, EpochOrder, Shuffle

shards = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(lambda rows: sum(rows) > 0)
shuffles = st.one_of(st.sampled_from([SEQUENTIAL, FULL]), st.integers(1, 14).map(lambda k: Shuffle("window", k)))


def epoch(rows: list[int], shuffle: Shuffle, *, seed: int = 0, number: int = 0, version: str = "v") -> EpochOrder:
    array = np.array(rows, dtype=np.int64)
    return EpochOrder(sum(rows), seed=seed, epoch=number, version=version, shuffle=shuffle, shard_rows=array)


def whole(order: EpochOrder) -> list[int]:
    return order.rows_between(0, order.positions).tolist()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(rows=shards, shuffle=shuffles, seed=st.integers())
def test_each_row_comes_exactly_once(rows: list[int], shuffle: Shuffle, seed: int) -> None:
    assert sorted(whole(epoch(rows, shuffle, seed=seed))) == list(range(sum(rows)))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(rows=shards, shuffle=shuffles, data=st.data())
def test_a_resume_at_any_position_gives_the_same_tail(rows: list[int], shuffle: Shuffle, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, sum(rows)))
    resumed = epoch(rows, shuffle).rows_between(start, sum(rows)).tolist()
    assert resumed == whole(epoch(rows, shuffle))[start:]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(rows=shards, shuffle=shuffles, world=st.integers(1, 9))
def test_the_order_is_the_same_however_many_workers_share_it(rows: list[int], shuffle: Shuffle, world: int) -> None:
    total = sum(rows)
    merged = np.empty(total, dtype=np.int64)
    for rank in range(world):
        mine = np.arange(rank, total, world, dtype=np.int64)
        merged[mine] = epoch(rows, shuffle).rows_at(mine)
    assert merged.tolist() == whole(epoch(rows, shuffle))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(rows=shards, shuffle=shuffles)
def test_where_a_row_falls_is_the_inverse_of_the_order(rows: list[int], shuffle: Shuffle) -> None:
    order = epoch(rows, shuffle)
    places = np.arange(order.positions, dtype=np.int64)
    assert order.positions_of(order.rows_at(places)).tolist() == places.tolist()


@pytest.mark.parametrize("shuffle", [FULL, Shuffle("window", 3)])
def test_seed_epoch_and_version_each_change_the_order(shuffle: Shuffle) -> None:
    rows = [40] * 10
    orders = [
        epoch(rows, shuffle),
        epoch(rows, shuffle, seed=1),
        epoch(rows, shuffle, number=1),
        epoch(rows, shuffle, version="w"),
    ]
    assert len({tuple(whole(order)) for order in orders}) == 4


def test_the_orders_are_the_same_on_every_machine() -> None:
    rows = [4, 3, 3]
    full = whole(epoch(rows, FULL, seed=1, number=2))
    window = whole(epoch(rows, Shuffle("window", 2), seed=1, number=2))
    assert full == [3, 8, 4, 7, 1, 6, 2, 5, 9, 0]
    assert window == [3, 0, 8, 1, 2, 7, 9, 6, 4, 5]


def test_a_full_order_does_not_depend_on_where_the_data_lies() -> None:
    assert whole(epoch([10, 20], FULL)) == whole(epoch([29, 1], FULL))


def test_a_window_reads_only_its_own_shards_at_once() -> None:
    order = np.array(whole(epoch([50] * 8, Shuffle("window", 2))))
    for start in range(0, 400, 100):
        assert len(np.unique(order[start : start + 100] // 50)) == 2


def test_ten_billion_rows_need_no_memory_of_their_own() -> None:
    order = EpochOrder(10**10, seed=0, epoch=0, version="v", shuffle=FULL)
    tail = order.rows_between(10**10 - 1000, 10**10)
    assert len(np.unique(tail)) == 1000
    assert order.positions_of(tail).tolist() == list(range(10**10 - 1000, 10**10))


@pytest.mark.parametrize("shuffle", [FULL, Shuffle("window", 16)])
def test_any_piece_of_an_epoch_is_a_fair_sample_of_its_rows(shuffle: Shuffle) -> None:
    order = epoch([1000] * 16, shuffle)
    counts = np.bincount(order.rows_between(3000, 7000) // 1000, minlength=16)
    assert ((counts - 250) ** 2 / 250).sum() < 42  # chi-square with 15 degrees of freedom: p < 0.0003
