"""Which checkpoints stay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KeepPolicy:
    """Rules; what any of them keeps, stays.

    Attributes:
        last: the newest ones.
        best: also the one with the lowest value of this measure; of equal ones the earliest.
        every: also those at the end of every so many epochs, for good.
    """

    last: int = 2
    best: str | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        if self.last < 1 or (self.every is not None and self.every < 1):
            raise ValueError(f"a policy keeps at least the newest checkpoint, and counts epochs from 1: {self}")


@dataclass(frozen=True)
class Entry:
    """What the rules look at.

    Attributes:
        samples: where the checkpoint stands.
        epoch: complete epochs, where it stands at the end of one.
        measures: what was measured there.
    """

    samples: int
    epoch: int | None = None
    measures: Mapping[str, float] = field(default_factory=dict)


def kept(policy: KeepPolicy, entries: Sequence[Entry]) -> set[int]:
    """The samples of those that stay."""
    stay = set(sorted(entry.samples for entry in entries)[-policy.last :])
    if policy.every is not None:
        stay |= {entry.samples for entry in entries if entry.epoch and entry.epoch % policy.every == 0}
    if policy.best is not None:
        measured = [entry for entry in entries if math.isfinite(entry.measures.get(policy.best, math.nan))]
        best = min(measured, key=lambda entry: (entry.measures[policy.best or ""], entry.samples), default=None)
        stay |= set() if best is None else {best.samples}
    return stay
