"""Keyed permutations of [0, size) that are computed, not stored: a generalised Feistel network with cycle walking."""

from __future__ import annotations

import numpy as np

from orchestrator.data.arrays import Int64s, UInt64s
from orchestrator.data.keyed import expand_key, mix64

# Luby and Rackoff need four rounds for large domains. Small ones take more: over a million keys, orders of two to six
# things come equally often as far as chi-square can tell from ten rounds on; after eight it can.
_ROUNDS = 10
_LEAST_SIDE = 4
# Numbers are worked on in pieces that stay in the second-level cache.
_PIECE = 8192

# Arrays without a dimension: of all operands that are one number numpy takes these with the least ado.
_MULTIPLIERS = (np.array(0xBF58476D1CE4E5B9, dtype=np.uint64), np.array(0x94D049BB133111EB, dtype=np.uint64))
_HALF = np.array(32, dtype=np.uint64)


class KeyedPermutations:
    """A family of unrelated bijections, one for each member: of [0, size) where the member's size is `size`.

    A number is a pair (high, low) in Z_a x Z_b with a * b >= size; the halves change in turn by a keyed function of
    each other ("generalised Feistel": Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002, section
    5). With a = ceil(sqrt(size)) at most 2a results fall outside [0, size); those are sent through again until they
    fall inside (cycle walking, section 4), which keeps it a bijection and almost never happens where size is large.
    The low side is even, so that odd permutations come as often as even ones.

    Nothing is kept but the key: sizes and members come with each call.

    Args:
        key: different keys give unrelated families.
    """

    def __init__(self, key: bytes) -> None:
        words = expand_key(key, _ROUNDS + 1)
        self._rounds = words[:_ROUNDS, None]
        self._tweak = words[_ROUNDS]

    def apply(self, places: Int64s, sizes: Int64s, members: Int64s) -> Int64s:
        """Where each of `places` (N,) goes under the permutation of its member.

        Args:
            places: in [0, size) each.
            sizes: (N,) or (1,); 1 to 2**62.
            members: (N,) or (1,) numbers of the members, any.
        """
        return self._pieces(places, sizes, members, inverse=False)

    def invert(self, places: Int64s, sizes: Int64s, members: Int64s) -> Int64s:
        """What came to each of `places` (N,); see `apply`."""
        return self._pieces(places, sizes, members, inverse=True)

    def _pieces(self, places: Int64s, sizes: Int64s, members: Int64s, *, inverse: bool) -> Int64s:
        if len(places) <= _PIECE:
            return self._walk(places, sizes, members, inverse=inverse)
        result = np.empty_like(places)
        for start in range(0, len(places), _PIECE):
            piece = slice(start, start + _PIECE)
            mine = (whole if len(whole) == 1 else whole[piece] for whole in (sizes, members))
            result[piece] = self._walk(places[piece], *mine, inverse=inverse)
        return result

    def _walk(self, places: Int64s, sizes: Int64s, members: Int64s, *, inverse: bool) -> Int64s:
        bounds = sizes.astype(np.uint64)
        sides = _sides(sizes)
        tweaks = mix64(members.astype(np.uint64) ^ self._tweak)
        values = self._network(places.astype(np.uint64), *sides, tweaks, inverse=inverse)
        outside = np.flatnonzero(values >= bounds)
        while outside.size:
            these = [whole if len(whole) == 1 else whole[outside] for whole in (*sides, tweaks, bounds)]
            again = self._network(values[outside], *these[:3], inverse=inverse)
            values[outside] = again
            outside = outside[again >= these[3]]
        return values.astype(np.int64)

    def _network(self, values: UInt64s, a: UInt64s, b: UInt64s, tweaks: UInt64s, *, inverse: bool) -> UInt64s:
        """The halves change in turn and are never swapped, so that they may differ in range."""
        keys = [_plain(key) for key in self._rounds + tweaks]
        a, b = _plain(a), _plain(b)
        high = values // b
        low = values - high * b
        for number in reversed(range(_ROUNDS)) if inverse else range(_ROUNDS):
            changed, other, side = (high, low, a) if number % 2 == 0 else (low, high, b)
            step = _scattered(other ^ keys[number], side)
            # Unsigned numbers wrap: of two that are equal modulo the side, the smaller is in range.
            if inverse:
                changed -= step
                np.minimum(changed, changed + side, out=changed)
            else:
                changed += step
                np.minimum(changed, changed - side, out=changed)
        high *= b
        high += low
        return high


class KeyedPermutation:
    """One bijection of [0, size) in O(1) memory.

    Args:
        size: of the domain, 0 to 2**62.
        key: different keys give unrelated permutations.
    """

    def __init__(self, size: int, key: bytes) -> None:
        assert 0 <= size <= 1 << 62
        self.size = size
        self._family = KeyedPermutations(key)
        self._sizes = np.array([max(1, size)], dtype=np.int64)
        self._members = np.zeros(1, dtype=np.int64)

    def apply(self, places: Int64s) -> Int64s:
        """Where each of `places` (N,) goes."""
        return self._family.apply(places, self._sizes, self._members)

    def invert(self, places: Int64s) -> Int64s:
        """What came to each of `places` (N,)."""
        return self._family.invert(places, self._sizes, self._members)


def _plain(numbers: UInt64s) -> UInt64s:
    """(N,) numbers; one number without its dimension."""
    return numbers.reshape(()) if len(numbers) == 1 else numbers


def _sides(sizes: Int64s) -> tuple[UInt64s, UInt64s]:
    """A and b of each size, with a * b >= size. A root that is rounded costs nothing: b makes up for it."""
    a = np.maximum(np.ceil(np.sqrt(sizes.astype(np.float64))).astype(np.int64), _LEAST_SIDE)
    b = np.maximum(2 * (-(-sizes // (2 * a))), _LEAST_SIDE)
    return a.astype(np.uint64), b.astype(np.uint64)


def _scattered(values: UInt64s, side: UInt64s) -> UInt64s:
    """A number in [0, side) for each keyed 64-bit value (overwritten): the upper half of a mixed word, times the side.

    Two multiplications with an xor-shift between them carry every bit into the upper half. For sides below 2**32 the
    bias is below side / 2**32.
    """
    values *= _MULTIPLIERS[0]
    values ^= values >> _HALF
    values *= _MULTIPLIERS[1]
    values >>= _HALF
    values *= side
    values >>= _HALF
    return values
