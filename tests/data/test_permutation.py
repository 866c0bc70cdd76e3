import itertools
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.keyed import derive_key
from orchestrator.data.permutation import KeyedPermutation


def order(size: int, *key: int) -> list[int]:
    return KeyedPermutation(size, derive_key(*key)).apply(np.arange(size, dtype=np.int64)).tolist()


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 3000), seed=st.integers())
def test_every_place_is_taken_exactly_once(size: int, seed: int) -> None:
    assert sorted(order(size, seed)) == list(range(size))


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 2**62), seed=st.integers(), data=st.data())
def test_the_inverse_undoes_it_in_domains_of_any_size(size: int, seed: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), max_size=20)), dtype=np.int64)
    permutation = KeyedPermutation(size, derive_key(seed))
    there = permutation.apply(places)
    assert (there >= 0).all()
    assert (there < size).all()
    assert permutation.invert(there).tolist() == places.tolist()


def test_all_orders_of_four_come_equally_often() -> None:
    counts = Counter(tuple(order(4, number)) for number in range(4_800))
    statistic = sum((counts[each] - 200) ** 2 / 200 for each in itertools.permutations(range(4)))
    assert statistic < 54  # chi-square with 23 degrees of freedom: p < 0.0003


def test_place_and_value_are_uncorrelated() -> None:
    values = np.array(order(20_000, 1))
    assert abs(np.corrcoef(np.arange(20_000), values)[0, 1]) < 0.03
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03


def test_the_order_is_the_same_in_every_version() -> None:
    assert order(10, 0) == [0, 3, 4, 5, 7, 1, 9, 8, 2, 6]
