"""Masks as COCO's compressed run-length encoding: checked when a source is scanned, made of polygons when it is read.

The encoding is that of pycocotools (`maskApi.c`): runs of 0 and 1 in turn, column by column, each from the fourth on
as its difference to the one before the last, in groups of 5 bits with a continuation bit, plus 48.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.source import BadSample

Segmentation = bytes | tuple[AnyArray, ...]
"""Compressed runs, or polygons of (2 k,) float64 each: x and y in turn."""

_LEAST_COORDINATES = 6
_MOST_GROUPS = 7


def checked(segmentation: Any, height: int, width: int) -> Segmentation:
    """A segmentation as COCO's JSON has it (polygons, runs as numbers or as text), compact.

    Raises:
        BadSample: it is none, or does not fit an image of `height` x `width`; pycocotools would not notice, and read or
            write outside of its memory.
    """
    if isinstance(segmentation, list):
        if not segmentation:
            raise BadSample("it has no polygon")
        return tuple(_polygon(points, height, width) for points in segmentation)
    if not isinstance(segmentation, Mapping):
        raise BadSample("it has no segmentation")
    if segmentation.get("size") != [height, width]:
        raise BadSample("its mask has another size than its image")
    counts = segmentation.get("counts")
    if isinstance(counts, str) and counts.isascii():
        encoded = counts.encode()
        _check_runs(_runs_of(encoded), height, width)
        return encoded
    if isinstance(counts, list):
        _check_runs(_whole_numbers(counts), height, width)
        return _compress({"size": [height, width], "counts": counts}, height, width)
    raise BadSample("its runs are neither text nor numbers")


def encoded(segmentation: Segmentation, height: int, width: int) -> bytes:
    """The compressed runs of a checked segmentation; equal to what pycocotools' `COCO.annToRLE` makes of it."""
    return segmentation if isinstance(segmentation, bytes) else _compress(list(segmentation), height, width)


def _compress(segmentation: Any, height: int, width: int) -> bytes:
    from pycocotools import mask

    runs = mask.frPyObjects(segmentation, height, width)
    counts = (mask.merge(runs) if isinstance(runs, list) else runs)["counts"]
    return bytes(counts)


def _polygon(points: Any, height: int, width: int) -> AnyArray:
    try:
        polygon = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadSample("a polygon is not a list of numbers") from error
    if polygon.ndim != 1 or len(polygon) < _LEAST_COORDINATES or len(polygon) % 2:
        raise BadSample("a polygon has fewer than three points, or half a point")
    for values, side in ((polygon[0::2], width), (polygon[1::2], height)):
        if not (values.min() >= -side and values.max() <= 2 * side):  # NaN is in no range
            raise BadSample("a polygon lies far outside of its image")
    return polygon


def _whole_numbers(counts: Sequence[Any]) -> Int64s:
    if not all(type(count) is int and 0 <= count < 1 << 32 for count in counts):
        raise BadSample("its runs are not whole numbers")
    return np.array(counts, dtype=np.int64)


def _runs_of(encoded: bytes) -> Int64s:
    """The lengths of the runs; `rleFrString` of maskApi.c, without its trust in what it reads."""
    codes = np.frombuffer(encoded, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise BadSample("its runs are cut off or damaged")
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    if place.max() >= _MOST_GROUPS:
        raise BadSample("its runs are damaged")
    runs = np.add.reduceat((codes & 31) << (5 * place), first)
    negative = codes[last] & 16 != 0
    runs[negative] -= np.int64(1) << (5 * (place[last][negative] + 1))
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _check_runs(runs: Int64s, height: int, width: int) -> None:
    if not len(runs) or runs.min() < 0 or int(runs.sum()) != height * width:
        raise BadSample("its runs do not add up to its image")
