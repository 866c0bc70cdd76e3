import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.keyed import derive_key
from orchestrator.data.permutation import KeyedPermutation, KeyedPermutations


def order(size: int, *key: int) -> list[int]:
    return KeyedPermutation(size, derive_key(*key)).apply(np.arange(size, dtype=np.int64)).tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=st.integers(0, 3000), seed=st.integers())
def test_every_place_is_taken_exactly_once(size: int, seed: int) -> None:
    assert sorted(order(size, seed)) == list(range(size))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=st.integers(1, 2**62), seed=st.integers(), data=st.data())
def test_the_inverse_undoes_it_in_domains_of_any_size(size: int, seed: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), max_size=20)), dtype=np.int64)
    permutation = KeyedPermutation(size, derive_key(seed))
    there = permutation.apply(places)
    assert (there >= 0).all()
    assert (there < size).all()
    assert permutation.invert(there).tolist() == places.tolist()


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_all_orders_of_a_small_domain_come_equally_often(size: int) -> None:
    members = 40 * math.factorial(size)
    places = np.tile(np.arange(size, dtype=np.int64), members)
    family = KeyedPermutations(derive_key("small", size))
    orders = family.apply(places, np.array([size]), np.repeat(np.arange(members), size)).reshape(members, size)
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == math.factorial(size)
    freedom = len(counts) - 1
    assert ((counts - 40) ** 2 / 40).sum() < freedom + 4 * math.sqrt(2 * freedom)


def test_odd_permutations_come_as_often_as_even_ones() -> None:
    odd = sum(_is_odd(order(9, number)) for number in range(1000))
    assert 430 < odd < 570


def _is_odd(values: list[int]) -> bool:
    return sum(a > b for a, b in itertools.combinations(values, 2)) % 2 == 1


def test_members_of_a_family_are_permutations_of_their_own() -> None:
    sizes = np.array([1, 2, 7, 100, 5000], dtype=np.int64)
    members = np.repeat(np.arange(5), sizes)
    places = np.concatenate([np.arange(size) for size in sizes])
    family = KeyedPermutations(derive_key("family"))
    there = family.apply(places, sizes[members], members)
    for member, size in enumerate(sizes.tolist()):
        assert sorted(there[members == member].tolist()) == list(range(size))
    assert family.invert(there, sizes[members], members).tolist() == places.tolist()


def test_members_of_equal_size_have_unrelated_orders() -> None:
    family = KeyedPermutations(derive_key("family"))
    places = np.arange(10_000, dtype=np.int64)
    size = np.array([10_000])
    first, second = (family.apply(places, size, np.array([member])) for member in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.04
    assert (first == second).sum() < 8


def test_place_and_value_are_uncorrelated() -> None:
    values = np.array(order(20_000, 1))
    assert abs(np.corrcoef(np.arange(20_000), values)[0, 1]) < 0.03
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03


def test_the_order_is_the_same_in_every_version() -> None:
    assert order(10, 0) == [6, 7, 4, 0, 3, 1, 2, 8, 5, 9]
