"""The checksum of a record: xxh3-64 over everything in it, so that a single flipped bit anywhere is caught.

The 8-byte columns (labels) are mixed into a seed; the variable columns follow in schema order, each hashed with the
digest so far as its seed. One image and one label thus cost one call of xxh3, the label being its seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash

from orchestrator.data.arrays import AnyArray, UInt64s
from orchestrator.data.keyed import mix64

_STEP = np.uint64(0x9E3779B97F4A7C15)


def record_seeds(fixed: Sequence[AnyArray], rows: int) -> UInt64s:
    """The seeds of `rows` records from their 8-byte columns, each (rows,)."""
    seeds = np.zeros(rows, dtype=np.uint64)
    for values in fixed:
        seeds = mix64((seeds ^ np.ascontiguousarray(values).view(np.uint64)) + _STEP)
    return seeds


def record_checksum(seed: int, values: Sequence[bytes | memoryview]) -> int:
    """The checksum of one record from its seed and the bytes of its variable columns."""
    digest = seed
    for value in values:
        digest = xxhash.xxh3_64_intdigest(value, digest)
    return digest


def mismatches(seeds: list[int], blobs: Sequence[Sequence[memoryview]], expected: list[int]) -> list[int]:
    """Which of n records do not have the checksum that is expected.

    Args:
        seeds: n seeds.
        blobs: for each variable column n values.
        expected: n checksums.
    """
    if len(blobs) == 1:  # the usual one: an image and labels; this loop is what reading costs
        digest = xxhash.xxh3_64_intdigest
        found = [digest(blob, seed) for blob, seed in zip(blobs[0], seeds, strict=True)]
    else:
        found = [record_checksum(seed, [blob[row] for blob in blobs]) for row, seed in enumerate(seeds)]
    if found == expected:
        return []
    return [row for row, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]
