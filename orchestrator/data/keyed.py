"""Randomness as pure functions of a key: key derivation, a 64-bit mixer, and the Philox counter-based generator.

Nothing here holds state, so that any process can compute what any other one would have drawn.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from orchestrator.data.arrays import Int64s, UInt32s, UInt64s

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_PHILOX_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)
_PHILOX_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)


def derive_key(*parts: str | int) -> bytes:
    """A 32-byte key from an unambiguous encoding of `parts` (BLAKE2b), the same on every platform."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=32).digest()


def expand_key(key: bytes, count: int) -> UInt64s:
    """`count` independent 64-bit keys from one key (SHAKE-256)."""
    return np.frombuffer(hashlib.shake_256(key).digest(8 * count), dtype="<u8").astype(np.uint64)


def mix64(values: UInt64s) -> UInt64s:
    """A bijective 64-bit mixer, elementwise (the finaliser of SplitMix64, Stafford's variant 13)."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= _MIX[0]
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX[1]
    mixed ^= mixed >> np.uint64(31)
    return mixed


def philox4x32(counters: UInt32s, key: tuple[int, int]) -> UInt32s:
    """Philox-4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), section 4.3.

    Args:
        counters: (4, N) counter words.
        key: two 32-bit key words, shared by all counters.

    Returns:
        (4, N) random words; word `i` of counter `n` depends on `counters[:, n]` and `key` alone.
    """
    c0, c1, c2, c3 = (counters[i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(_PHILOX_ROUNDS):
        product0 = c0 * _PHILOX_MULTIPLIERS[0]
        product1 = c2 * _PHILOX_MULTIPLIERS[1]
        c0, c1 = (product1 >> _WORD) ^ c1 ^ np.uint64(k0), product1 & _LOW
        c2, c3 = (product0 >> _WORD) ^ c3 ^ np.uint64(k1), product0 & _LOW
        k0, k1 = (k0 + _PHILOX_WEYL[0]) & 0xFFFFFFFF, (k1 + _PHILOX_WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def sample_words(seed: int, epoch: int, positions: Int64s, stream: int) -> UInt32s:
    """Four random 32-bit words for each position of an epoch.

    Args:
        seed: of the run; any integer.
        epoch: from 0, below 2**32.
        positions: (N,) places in the order of the epoch.
        stream: which use of randomness this is; uses with different streams are independent.

    Returns:
        (4, N) words.
    """
    key = expand_key(derive_key("sample", seed), 1)[0]
    unsigned = positions.astype(np.uint64)
    counters = np.empty((4, len(positions)), dtype=np.uint32)
    counters[0] = (unsigned & _LOW).astype(np.uint32)
    counters[1] = (unsigned >> _WORD).astype(np.uint32)
    counters[2] = epoch
    counters[3] = stream
    return philox4x32(counters, (int(key) & 0xFFFFFFFF, int(key) >> 32))


def below(words: UInt32s, bound: int) -> Int64s:
    """Integers in [0, bound) from 32-bit words, by multiplication; the bias is below bound / 2**32."""
    return ((words.astype(np.uint64) * np.uint64(bound)) >> _WORD).astype(np.int64)
