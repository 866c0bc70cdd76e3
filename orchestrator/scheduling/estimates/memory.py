"""Bytes that one worker holds: what it starts with, the state of the training, and what a pass keeps for its backward.

Parameters, gradients, optimizer state and averages are 32-bit numbers at every precision (mixed precision computes with
copies), activations have the size of the precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.devices import is_cpu
from orchestrator.scheduling.estimates.errors import Spread, folds, pooled
from orchestrator.scheduling.estimates.measurement import Measurement, on_device
from orchestrator.scheduling.estimates.regression import Prior, fit

_MIB = 2**20
_CPU_PROCESS = 700 * _MIB  # a worker that has imported torch and what reads data
_GPU_WORKSPACE = 64 * _MIB  # of convolutions; the driver's own memory is not counted by torch
_KEPT = 2.0  # outputs of the convolution and of its normalisation are kept; ReLU is computed in place
_KEPT_BLOCKS = 0.6  # of activations where only blocks' inputs are kept, and one block at a time is computed again
_GATHERED = 0.25  # of the parameters: what sharded layers hold whole at a time
_ERROR = Spread(0.3, 2.0)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of one worker by what they are for.

    Attributes:
        process: held before anything is trained.
        state: parameters, gradients and their sums, optimizer state, averages.
        activations: what a pass keeps for its backward pass, and its inputs.
    """

    process: float
    state: float
    activations: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.process + self.state + self.activations


def footprint(features: Features, device: str, workers: int = 1) -> Footprint:
    """By the arithmetic alone.

    Args:
        features: of the training.
        device: where it runs.
        workers: over which a sharded state is shared out.
    """
    copies = 2 + features.optimizer_slots + features.average
    if features.virtual_workers > 1:
        # The fixed order of the gradient sum: the slices of a worker are added up as a tree, of which it holds a path.
        copies += 1 + max(0, math.ceil(math.log2(features.passes(workers))))
    half = features.precision != "fp32"
    state = 4.0 * features.params * copies
    if features.sharded:
        state = state / max(1, workers) + 4.0 * features.params * _GATHERED
    kept = _KEPT_BLOCKS if features.recompute else _KEPT
    passed = features.slice_samples * (kept * features.activations * (2 if half else 4) + 4.0 * features.inputs)
    cast = 2.0 * features.params if half else 0.0
    return Footprint(float(_CPU_PROCESS if is_cpu(device) else _GPU_WORKSPACE), state, passed + cast)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of the memory of workers on one device.

    Attributes:
        device: its name.
        factors: of process, state and activations: true bytes over those of the arithmetic.
        error: standard deviation of the logarithm of (true / estimated).
        measured: workers whose peak is known.
    """

    device: str
    factors: tuple[float, ...] = (1.0, 1.0, 1.0)
    error: float = _ERROR.error
    measured: int = 0

    def bytes(self, features: Features, workers: int = 1) -> float:
        """Of one worker."""
        return sum(f * x for f, x in zip(self.factors, _parts(features, self.device, workers), strict=True))


def learn(measurements: Sequence[Measurement], device: str) -> Memory:
    """From the peaks of workers on a device."""
    used = [m for m in on_device(measurements, device) if m.memory]
    if not used:
        return Memory(device)
    rows = [_parts(m.features, device, m.workers) for m in used]
    peaks = [float(m.memory or 0) for m in used]
    found: list[float] = []
    if len(used) > 1:
        for fold in folds(len(used), 16):
            kept = [i for i in range(len(used)) if i not in fold]
            factors = _factors([rows[i] for i in kept], [peaks[i] for i in kept])
            found += [math.log(peaks[i] / sum(f * x for f, x in zip(factors, rows[i], strict=True))) for i in fold]
    return Memory(device, _factors(rows, peaks), pooled(found, _ERROR), len(used))


def _factors(rows: Sequence[Sequence[float]], peaks: Sequence[float]) -> tuple[float, ...]:
    prior = Prior((1.0, 1.0, 1.0), scale_error=0.2, spread=0.5, noise=0.05)
    return fit(rows, peaks, [1.0] * len(peaks), prior)


def _parts(features: Features, device: str, workers: int) -> tuple[float, float, float]:
    found = footprint(features, device, workers)
    return found.process, found.state, found.activations
