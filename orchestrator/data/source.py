"""What a converter finds in a source: classes, samples that are not yet read, and what it left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """An input that did not become a row: its name in the source, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sample:
    """One sample of a source.

    Attributes:
        name: in the source, for reports.
        label: number of its class.
        folder: the source's own split; empty where it has none.
        read: returns the encoded image; raises OSError where it cannot be read.
    """

    name: str
    label: int
    folder: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Source:
    """Everything that a converter found, in an order that depends on the source alone."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = ()
