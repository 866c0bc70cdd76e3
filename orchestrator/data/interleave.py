"""Interleaves several sequences, each with an exact number of the places: computed, not stored, and none out of order.

Sequences are merged in pairs, the longest first: of M places, n go to the sequence that is merged in and M - n to what
was merged before. The M places are cut into n strata, as equal as whole numbers allow, and a keyed one of each is
taken. So the numbers of a sequence rise with the places, and it is spread over all of them evenly and without a rhythm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestrator.data.arrays import Int64s
from orchestrator.data.keyed import expand_key, mix64
from orchestrator.data.proportion import Proportion


class Interleaving:
    """Which sequence stands at each place, and which of its numbers.

    Args:
        counts: of each sequence, at least 1 each; they sum to 2**40 at most.
        key: different keys give unrelated interleavings.
    """

    def __init__(self, counts: Sequence[int], key: bytes) -> None:
        by_count = sorted(range(len(counts)), key=lambda number: (-counts[number], number))
        self._longest = by_count[0]
        words = expand_key(key, 2 * len(counts))
        self._merges: list[tuple[int, _Merge]] = []
        places = counts[self._longest]
        for level, sequence in enumerate(by_count[1:], 1):
            places += counts[sequence]
            self._merges.append((sequence, _Merge(places, counts[sequence], words[2 * level], words[2 * level + 1])))

    def at(self, places: Int64s) -> tuple[Int64s, Int64s]:
        """The sequence, and the number in it from 0, at each of `places` (N,)."""
        sequences = np.full(len(places), self._longest, dtype=np.int64)
        numbers = places.copy()
        left = np.arange(len(places), dtype=np.int64)
        for sequence, merge in reversed(self._merges):
            taken, numbers[left] = merge.split(numbers[left])
            sequences[left[taken]] = sequence
            left = left[~taken]
        return sequences, numbers

    def places_of(self, sequence: int, numbers: Int64s) -> Int64s:
        """Where those numbers (N,) of a sequence stand: the inverse of `at`; rising where they rise."""
        places = numbers
        merged = sequence == self._longest
        for other, merge in self._merges:
            if other == sequence:
                places, merged = merge.taken(places), True
            elif merged:
                places = merge.others(places)
        return places


class _Merge:
    """Of `places` places, `count` are taken, one of each stratum."""

    def __init__(self, places: int, count: int, key: np.uint64, second: np.uint64) -> None:
        self._starts = Proportion(places, count)
        self._stratum = Proportion(count, places, count - 1)
        self._stratum_of_others = Proportion(count, places - count, count - 1)
        self._key, self._second = key, second

    def split(self, places: Int64s) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], Int64s]:
        """Which of `places` (N,) are taken, and each one's number: among the taken, or among the others."""
        stratum = self._stratum.at(places)
        chosen = self.taken(stratum)
        taken = places == chosen
        others = places - stratum
        others -= chosen < places
        return taken, np.where(taken, stratum, others)

    def taken(self, strata: Int64s) -> Int64s:
        """The place that is taken of each stratum (N,)."""
        bounds = self._starts.at(np.concatenate([strata, strata + 1]))
        starts, sizes = bounds[: len(strata)], bounds[len(strata) :] - bounds[: len(strata)]
        # Of a 64-bit word the remainder by 2**40 at most is biased by 2**-24 at most.
        words = mix64(mix64(strata.astype(np.uint64) ^ self._key) + self._second)
        chosen: Int64s = starts + (words % sizes.astype(np.uint64)).astype(np.int64)
        return chosen

    def others(self, numbers: Int64s) -> Int64s:
        """The places of those numbers (N,) among the places that are not taken."""
        stratum = self._stratum_of_others.at(numbers)
        places = numbers + stratum
        places += places >= self.taken(stratum)
        return places
