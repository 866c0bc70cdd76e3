"""Figures about columns of numbers, lists and pixels, as pure functions of arrays; `stats` reads what they are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.data.arrays import AnyArray, Bytes8, Int64s


@dataclass(frozen=True)
class Spread:
    """How numbers are spread: least, 5th percentile, median, 95th percentile, most, and their mean."""

    least: float
    p5: float
    median: float
    p95: float
    most: float
    mean: float


@dataclass(frozen=True)
class Counted:
    """How often one class or tag comes."""

    name: str
    count: int


@dataclass(frozen=True)
class ClassBalance:
    """How often each class comes.

    Attributes:
        classes: how many come at all.
        most: the most frequent ones, falling.
        least: the least frequent ones that come, rising.
        ratio: of the most to the least frequent one; 0 where there are none.
        absent: names of classes without a sample, the first of them.
        absent_count: how many of those there are.
        unlabelled: samples whose label is negative: the source tells no class.
    """

    classes: int
    most: tuple[Counted, ...]
    least: tuple[Counted, ...]
    ratio: float
    absent: tuple[str, ...]
    absent_count: int
    unlabelled: int


@dataclass(frozen=True)
class TagCounts:
    """Lists of tags: how many different ones, the most frequent, how many a row has, and rows that have none."""

    distinct: int
    most: tuple[Counted, ...]
    per_row: float
    empty_rows: int


def spread(values: AnyArray) -> Spread | None:
    """The spread of (n,) numbers; None where there are none."""
    if not values.size:
        return None
    least, p5, median, p95, most = np.percentile(values, [0, 5, 50, 95, 100]).tolist()
    return Spread(least, p5, median, p95, most, float(np.mean(values, dtype=np.float64)))


def class_balance(labels: Int64s, names: Sequence[str], shown: int) -> ClassBalance:
    """How the classes of (n,) labels are balanced.

    Args:
        labels: negative ones are of no class.
        names: of all classes; those after the last name are called by their numbers.
        shown: how many classes are named at each end.
    """
    known = labels[labels >= 0]
    present, counts = np.unique(known, return_counts=True)
    order = np.lexsort((present, -counts))
    ranked = [Counted(name_of(int(present[place]), names), int(counts[place])) for place in order[:shown]]
    rare = [Counted(name_of(int(present[place]), names), int(counts[place])) for place in order[::-1][:shown]]
    absent = np.setdiff1d(np.arange(len(names)), present)
    return ClassBalance(
        classes=len(present),
        most=tuple(ranked),
        least=tuple(rare),
        ratio=float(counts.max() / counts.min()) if len(counts) else 0.0,
        absent=tuple(names[number] for number in absent[:shown].tolist()),
        absent_count=len(absent),
        unlabelled=len(labels) - len(known),
    )


def tag_counts(rows: Iterable[Sequence[object]], names: Sequence[str], shown: int) -> TagCounts:
    """How often the tags of some rows come; numbers are called by `names`."""
    counts: Counter[object] = Counter()
    every = empty = 0
    for tags in rows:
        counts.update(tags)
        every += 1
        empty += not len(tags)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:shown]
    most = tuple(Counted(name_of(tag, names) if isinstance(tag, int) else str(tag), count) for tag, count in ranked)
    return TagCounts(len(counts), most, counts.total() / every if every else 0.0, empty)


def name_of(number: int, names: Sequence[str]) -> str:
    """The name of a class or tag; its number where it has none."""
    return names[number] if 0 <= number < len(names) else str(number)


class PixelMoments:
    """Mean and standard deviation of each channel over all pixels of many images, in whole numbers until the end.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        self._levels = np.zeros((channels, 256), dtype=np.int64)

    def add(self, pixels: Bytes8) -> None:
        """Count the pixels of an image (H, W, C)."""
        for channel, levels in enumerate(self._levels):
            levels += np.bincount(pixels[:, :, channel].reshape(-1), minlength=256)

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel, of pixels in 0..1; empty where no pixel was counted."""
        if not self._levels.any():
            return ()
        return tuple((self._levels @ np.arange(256) / self._levels.sum(axis=1) / 255).tolist())

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel, of pixels in 0..1; empty where no pixel was counted."""
        if not self._levels.any():
            return ()
        squares = self._levels @ np.arange(256) ** 2 / self._levels.sum(axis=1) / 255**2
        return tuple(np.sqrt(np.maximum(squares - np.square(self.mean), 0)).tolist())
