"""A keyed permutation of [0, size) that is computed, not stored: a Feistel network with cycle walking."""

from __future__ import annotations

import numpy as np

from orchestrator.data.arrays import Int64s, UInt64s
from orchestrator.data.keyed import expand_key, mix64

# Luby and Rackoff need four rounds for large domains; domains of 4 or 5 take 16 to reach every order equally often.
_ROUNDS = 16


class KeyedPermutation:
    """A bijection of [0, size) in O(1) memory.

    The network works on the smallest power of two that holds `size`, so that fewer than half of its values fall
    outside; those are sent through it again until they fall inside (cycle walking; Black and Rogaway, "Ciphers with
    Arbitrary Finite Domains", CT-RSA 2002), which keeps it a bijection.

    Args:
        size: of the domain, 0 to 2**62.
        key: different keys give unrelated permutations.
    """

    def __init__(self, size: int, key: bytes) -> None:
        assert 0 <= size <= 1 << 62
        self.size = size
        bits = max(2, (size - 1).bit_length())
        self._low_bits = np.uint64(bits // 2)
        self._low_mask = np.uint64((1 << (bits // 2)) - 1)
        self._high_mask = np.uint64((1 << (bits - bits // 2)) - 1)
        self._keys = expand_key(key, _ROUNDS)

    def apply(self, places: Int64s) -> Int64s:
        """Where each of `places` (N,) goes."""
        return self._walk(places, inverse=False)

    def invert(self, places: Int64s) -> Int64s:
        """What came to each of `places` (N,)."""
        return self._walk(places, inverse=True)

    def _walk(self, places: Int64s, *, inverse: bool) -> Int64s:
        if self.size <= 1:
            return places.copy()
        values = self._network(places.astype(np.uint64), inverse=inverse)
        outside = np.flatnonzero(values >= self.size)
        while outside.size:
            again = self._network(values[outside], inverse=inverse)
            values[outside] = again
            outside = outside[again >= self.size]
        return values.astype(np.int64)

    def _network(self, values: UInt64s, *, inverse: bool) -> UInt64s:
        """The halves change in turn and are never swapped, so that they may differ in width."""
        low = values & self._low_mask
        high = values >> self._low_bits
        for number in reversed(range(_ROUNDS)) if inverse else range(_ROUNDS):
            key = self._keys[number]
            if number % 2 == 0:
                high ^= mix64(low + key) & self._high_mask
            else:
                low ^= mix64(high + key) & self._low_mask
        return (high << self._low_bits) | low
