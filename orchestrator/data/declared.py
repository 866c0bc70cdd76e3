"""The shuffle and the resampling that the data section of a workload declares, as the orders take them."""

from __future__ import annotations

from orchestrator.data.order import FULL, Shuffle
from orchestrator.data.resample import Resample
from orchestrator.spec import data as spec


def shuffle_of(section: spec.DataSection) -> Shuffle:
    """`data.shuffle` of a workload; it is of the training split."""
    return Shuffle("window", section.shuffle.window) if isinstance(section.shuffle, spec.Window) else FULL


def resample_of(section: spec.DataSection) -> Resample | None:
    """`data.resample` of a workload; it is of the training split."""
    match section.resample:
        case None:
            return None
        case spec.RepeatFactor(repeat_factor=how):
            return Resample("repeat_factor", how.column, how.threshold)
        case spec.SquareRoot(square_root=how):
            return Resample("square_root", how.column, how.threshold, how.power)
        case spec.Weights(weights=column):
            return Resample("weights", column)
        case kind:
            return Resample(kind)
