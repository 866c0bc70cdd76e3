"""What a converter finds in a source: classes, samples that are not yet read, and what it left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.base.errors import DataError

Record = Mapping[str, Any]
"""A value for each column: bytes for encoded media, str, int, float, arrays of numbers, lists of str or bytes."""


class BadSample(DataError):
    """One input cannot become a row; it is listed, and the build goes on."""

    code = "bad_sample"


@dataclass(frozen=True)
class Skipped:
    """An input that did not become a row: its name in the source, and why; or so many of them, that are not named.

    An `annotation` is a part of a row, such as one box of an image; the row is there without it.
    """

    name: str
    reason: str
    count: int = 1
    annotation: bool = False


@dataclass(frozen=True)
class Sample:
    """One sample of a source.

    Attributes:
        name: in the source, for reports.
        folder: the source's own split, as the card names it; empty where the card cuts the splits.
        stratum: number of its class where splits are cut stratified; -1 where it has none.
        size: bytes of its record, about; shards are cut by it before anything is read.
        read: returns the record. It travels to another process, and so is a module's function or a `partial` of one.
            Raises OSError where a file cannot be read, and BadSample where it is no good.
    """

    name: str
    folder: str
    stratum: int
    size: int
    read: Callable[[], Record]


@dataclass(frozen=True)
class Source:
    """Everything that a converter found, in an order that depends on the source alone.

    Attributes:
        classes: names of the classes, in the order of the label column's numbers.
        samples: may be made on demand from compact tables: a source can have a billion.
        skipped: what the scan itself left out.
        attributes: what is true of the whole data set and of no single row, as JSON values: COCO's category ids, LVIS's
            frequency groups. It becomes part of the index and of the version.
        inputs: digest of the state of every file that the scan read or that a sample is made of. Shards of an
            interrupted build are kept only where it is the same.
        warnings: what a person should look at, though the build goes on.
    """

    classes: tuple[str, ...]
    samples: Sequence[Sample]
    skipped: tuple[Skipped, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    inputs: str = ""
    warnings: tuple[str, ...] = ()
