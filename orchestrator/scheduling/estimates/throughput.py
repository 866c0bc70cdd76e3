"""Seconds of a sample on a device: a prior from its data sheet, corrected by what was measured on it.

A pass of n samples takes n * (a + b flops + c activations + d inputs) + e layers + f parameters, with coefficients that
are not negative; W workers run ceil(V / W) passes a step each, and lose W ** (1 - exponent) by working together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.devices import COLUMNS, FORWARDS, is_cpu, prior_of
from orchestrator.scheduling.estimates.errors import Believed, correction, folds, pooled, within
from orchestrator.scheduling.estimates.measurement import Measurement, groups, on_device, same_model
from orchestrator.scheduling.estimates.regression import Prior, fit

EXPONENT = 0.93
"""Of the speed of W workers on one node, before anything was measured."""

CORES_EXPONENT = 0.85
"""Of the speed of several cores that compute one pass."""

_LOSS_ERROR = 0.1
_LEAST_EXPONENT = 0.3
_NEW_MODEL = Believed(0.35, 2.0)
_SAME_MODEL = Believed(0.12, 2.0)
_FOLDS = 12
_TURNS, _CLOSE = 10, 0.003
_NOTHING, _FREE = 1e-9, 20.0


def row(features: Features, device: str, *, forwards: float | None = None) -> tuple[float, ...]:
    """What one sample of a pass does, in the order of `devices.COLUMNS`.

    Args:
        features: of the model.
        device: whose cores share a pass, where it is a CPU.
        forwards: that the pass computes; default: those of a training step.
    """
    count = forwards or FORWARDS + features.recompute
    shared = features.cores**CORES_EXPONENT if is_cpu(device) else 1.0
    learns = 1.0 if forwards is None else 0.0
    return (
        1.0,
        float(features.inputs),
        count * features.flops / shared,
        count * features.activations / shared,
        count * features.layers / features.slice_samples,
        learns * features.params / features.slice_samples / shared,
    )


def share(features: Features, workers: int, exponent: float) -> float:
    """Seconds that a sample of the batch costs W workers, of those that it costs one: (ceil(V / W) / V) W^(1 - e)."""
    used = max(1, min(workers, features.virtual_workers))
    return float(features.passes(used) / features.virtual_workers * used ** (1.0 - exponent))


def evaluated_by(workers: int, samples: float, exponent: float) -> float:
    """Seconds that an evaluated sample costs W workers, of those that it costs one; who gets no sample does nothing."""
    return float(max(1.0, min(workers, samples)) ** -exponent)


@dataclass(frozen=True)
class Rate:
    """Seconds of one sample on one worker.

    Attributes:
        seconds: the median.
        error: standard deviation of the logarithm of (true / estimated).
        same: measurements of this very model on this device.
    """

    seconds: float
    error: float
    same: int = 0


@dataclass(frozen=True)
class Throughput:
    """What is known of one device at one precision.

    Attributes:
        device: its name.
        coefficients: seconds of each of `devices.COLUMNS`.
        exponent: of the speed over workers.
        evaluation: measured seconds of an evaluated sample over expected ones.
        new: error for a model that was never measured here.
        measured: measurements that it was learned from.
        same: for each model that was measured: how often, and the mean logarithm of (measured / expected).
        same_error: error for those.
    """

    device: str
    coefficients: tuple[float, ...]
    exponent: float
    evaluation: float
    new: float
    measured: int = 0
    same: Mapping[Features, tuple[float, float]] = field(default_factory=dict)
    same_error: float = _SAME_MODEL.error

    def rate(self, features: Features) -> Rate:
        """Of one model."""
        seconds = sum(c * x for c, x in zip(self.coefficients, row(features, self.device), strict=True))
        count, correction = self.same.get(same_model(features), (0.0, 0.0))
        if not count:
            return Rate(seconds, self.new)
        return Rate(seconds * math.exp(correction), self.same_error, math.ceil(count))

    def evaluated(self, features: Features) -> float:
        """Seconds of evaluating one sample on one worker."""
        values = row(features, self.device, forwards=1.0)
        return self.evaluation * sum(c * x for c, x in zip(self.coefficients, values, strict=True))


def learn(
    measurements: Sequence[Measurement], device: str, precision: str = "fp32", *, columns: Sequence[str] = COLUMNS
) -> Throughput:
    """The model of a device.

    Args:
        measurements: of any device.
        device: whose.
        precision: of its steps.
        columns: that may have a part in the time; for comparisons.
    """
    alike = (m for m in measurements if m.usable and m.features.precision == precision)
    used = tuple(on_device(alike, device))
    return _learn(used, device, precision, tuple(columns))


@lru_cache(maxsize=16)
def _learn(used: tuple[Measurement, ...], device: str, precision: str, columns: tuple[str, ...]) -> Throughput:
    """A submit asks for the same again and again."""
    prior = _only(prior_of(device, precision), columns)
    if not used:
        alone = math.hypot(prior.scale_error, _NEW_MODEL.error)
        return Throughput(device, prior.coefficients, EXPONENT, 1.0, alone)
    exponent, coefficients = _fitted(used, device, prior)
    ratios = _log_ratios(used, device, exponent, coefficients)
    by_model = groups(used)
    return Throughput(
        device=device,
        coefficients=coefficients,
        exponent=exponent,
        evaluation=_evaluation(used, device, coefficients, exponent),
        new=_error_of_new(used, device, prior, exponent, list(by_model.values())),
        measured=len(used),
        same={key: correction([ratios[i] for i in places]) for key, places in by_model.items()},
        same_error=pooled(within(ratios, by_model.values()), _SAME_MODEL),
    )


def targets(measurements: Sequence[Measurement], exponent: float) -> list[float]:
    """Seconds that each sample would take one worker that runs every slice."""
    return [m.seconds / m.samples / share(m.features, m.workers, exponent) for m in measurements]


def _fitted(used: Sequence[Measurement], device: str, prior: Prior) -> tuple[float, tuple[float, ...]]:
    """The exponent and the coefficients, each in turn given the other."""
    exponent, coefficients = EXPONENT, _coefficients(used, device, prior, EXPONENT)
    if all(min(m.workers, m.features.virtual_workers) == 1 for m in used):
        return exponent, coefficients
    for _ in range(_TURNS):
        exponent, before = _exponent(used, device, coefficients), exponent
        coefficients = _coefficients(used, device, prior, exponent)
        if abs(exponent - before) < _CLOSE:
            break
    return exponent, coefficients


def _coefficients(used: Sequence[Measurement], device: str, prior: Prior, exponent: float) -> tuple[float, ...]:
    sizes = {key: len(places) for key, places in groups(used).items()}
    # A model that was trained a hundred times shall not be all that is known.
    weights = [m.weight / math.sqrt(sizes[same_model(m.features)]) for m in used]
    return fit([row(m.features, device) for m in used], targets(used, exponent), weights, prior)


def _log_ratios(
    used: Sequence[Measurement], device: str, exponent: float, coefficients: Sequence[float]
) -> list[float]:
    """ln(measured / expected) of each."""
    expected = [sum(c * x for c, x in zip(coefficients, row(m.features, device), strict=True)) for m in used]
    return [math.log(y / e) for y, e in zip(targets(used, exponent), expected, strict=True)]


def _exponent(used: Sequence[Measurement], device: str, coefficients: Sequence[float]) -> float:
    """1 - slope of ln(measured / expected) over ln W, shrunk towards the prior."""
    ratios = _log_ratios(used, device, 1.0, coefficients)
    spans = [math.log(min(m.workers, m.features.virtual_workers)) for m in used]
    precision, noise = 1 / _LOSS_ERROR**2, _SAME_MODEL.error**2
    over = precision * (1 - EXPONENT) + sum(
        m.weight * x * y / noise for m, x, y in zip(used, spans, ratios, strict=True)
    )
    under = precision + sum(m.weight * x * x / noise for m, x in zip(used, spans, strict=True))
    return 1.0 - min(1.0 - _LEAST_EXPONENT, max(0.0, over / under))


def _evaluation(used: Sequence[Measurement], device: str, coefficients: Sequence[float], exponent: float) -> float:
    """A mean of the logarithms, shrunk towards 0; workers share evaluations as `evaluated_by` says."""
    found = [0.0, 0.0]
    for m in used:
        if m.evaluated <= 0 or m.evaluation_seconds <= 0:
            continue
        values = row(m.features, device, forwards=1.0)
        alone = sum(c * x for c, x in zip(coefficients, values, strict=True))
        expected = alone * evaluated_by(m.workers, m.evaluated, exponent)
        found.append(math.log(m.evaluation_seconds / m.evaluated / expected))
    return math.exp(sum(found) / len(found))


def _error_of_new(
    used: Sequence[Measurement], device: str, prior: Prior, exponent: float, models: Sequence[Sequence[int]]
) -> float:
    """Predict each model from all the others; one number for each of its measurements that counts once a model."""
    if len(models) < 3:
        return math.hypot(prior.scale_error / (1 + len(models)), _NEW_MODEL.error)
    found: list[float] = []
    for fold in folds(len(models), _FOLDS):
        out = {place for model in fold for place in models[model]}
        kept = [m for i, m in enumerate(used) if i not in out]
        coefficients = _coefficients(kept, device, prior, exponent)
        for model in fold:
            ratios = _log_ratios([used[i] for i in models[model]], device, exponent, coefficients)
            found.append(sum(ratios) / len(ratios))
    return pooled(found, _NEW_MODEL)


def _only(prior: Prior, columns: Sequence[str]) -> Prior:
    """The prior where only some columns are known of: these are free, for who knows less is held back by no belief."""
    if tuple(columns) == COLUMNS:
        return prior
    kept = (c if name in columns else c * _NOTHING for name, c in zip(COLUMNS, prior.coefficients, strict=True))
    return replace(prior, coefficients=tuple(kept), spread=_FREE)
