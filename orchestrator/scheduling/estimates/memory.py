"""Bytes that one worker holds: what it starts with, the state of the training, and what a pass keeps for its backward.

Parameters, gradients, optimizer state and averages are 32-bit numbers at every precision (mixed precision computes with
copies), activations have the size of the precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.devices import is_cpu
from orchestrator.scheduling.estimates.errors import Believed, correction, folds, pooled, within
from orchestrator.scheduling.estimates.measurement import Measurement, groups, on_device, same_model
from orchestrator.scheduling.estimates.regression import Prior, dot, fit

_MIB = 2**20
_CPU_PROCESS = 700 * _MIB  # a worker that has imported torch and what reads data
_GPU_WORKSPACE = 64 * _MIB  # of convolutions; the driver's own memory is not counted by torch
_KEPT = 2.0  # outputs of the convolution and of its normalisation are kept; ReLU is computed in place
_KEPT_BLOCKS = 0.6  # of activations where only blocks' inputs are kept, and one block at a time is computed again
_GATHERED = 0.25  # of the parameters: what sharded layers hold whole at a time
_NEW_MODEL = Believed(0.3, 2.0)
_SAME_MODEL = Believed(0.1, 2.0)
_FOLDS = 12


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
class Held:
    """Bytes of one worker.

    Attributes:
        bytes: the median.
        error: standard deviation of the logarithm of (true / estimated).
    """

    bytes: float
    error: float


@dataclass(frozen=True)
class Memory:
    """What is known of the memory of workers on one device.

    Attributes:
        device: its name.
        factors: of process, state and activations: true bytes over those of the arithmetic.
        new: error for a model whose peak was never measured here.
        measured: workers whose peak is known.
        same: for each model that was measured: how often, and the mean logarithm of (measured / expected).
        same_error: error for those.
    """

    device: str
    factors: tuple[float, ...] = (1.0, 1.0, 1.0)
    new: float = _NEW_MODEL.error
    measured: int = 0
    same: Mapping[Features, tuple[float, float]] = field(default_factory=dict)
    same_error: float = _SAME_MODEL.error

    def held(self, features: Features, workers: int = 1) -> Held:
        """By one worker."""
        computed = dot(self.factors, _parts(features, self.device, workers))
        count, corrected = self.same.get(same_model(features), (0.0, 0.0))
        if not count:
            return Held(computed, self.new)
        return Held(computed * math.exp(corrected), self.same_error)


def learn(measurements: Sequence[Measurement], device: str) -> Memory:
    """From the peaks of workers on a device."""
    return _learn(tuple(on_device((m for m in measurements if m.memory), device)), device)


@lru_cache(maxsize=16)
def _learn(used: tuple[Measurement, ...], device: str) -> Memory:
    """Whoever estimates many jobs asks for the same again and again."""
    if not used:
        return Memory(device)
    rows = [_parts(m.features, device, m.workers) for m in used]
    peaks = [float(m.memory or 0) for m in used]
    by_model = groups(used)
    models = list(by_model.values())
    factors = _factors(rows, peaks, models)
    ratios = [math.log(peak / dot(factors, row)) for row, peak in zip(rows, peaks, strict=True)]
    return Memory(
        device=device,
        factors=factors,
        new=_error_of_new(rows, peaks, models),
        measured=len(used),
        same={model: correction([ratios[i] for i in places]) for model, places in by_model.items()},
        same_error=pooled(within(ratios, models), _SAME_MODEL),
    )


def _factors(
    rows: Sequence[Sequence[float]], peaks: Sequence[float], models: Sequence[Sequence[int]]
) -> tuple[float, ...]:
    """Of the measurements of some models: a model that was trained a hundred times shall not be all that is known."""
    weights = {place: 1 / math.sqrt(len(places)) for places in models for place in places}
    prior = Prior((1.0, 1.0, 1.0), scale_error=0.2, spread=0.5, noise=0.05)
    return fit([rows[i] for i in weights], [peaks[i] for i in weights], list(weights.values()), prior)


def _error_of_new(rows: Sequence[Sequence[float]], peaks: Sequence[float], models: Sequence[Sequence[int]]) -> float:
    """Predict each model from all the others, the only one from the arithmetic; each is one measured error."""
    found: list[float] = []
    for fold in folds(len(models), _FOLDS):
        factors = _factors(rows, peaks, [places for number, places in enumerate(models) if number not in fold])
        for number in fold:
            logs = [math.log(peaks[i] / dot(factors, rows[i])) for i in models[number]]
            found.append(sum(logs) / len(logs))
    return pooled(found, _NEW_MODEL)


def _parts(features: Features, device: str, workers: int) -> tuple[float, float, float]:
    found = footprint(features, device, workers)
    return found.process, found.state, found.activations
