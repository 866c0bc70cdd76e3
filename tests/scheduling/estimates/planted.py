"""Measurements that are planted: of a device whose coefficients are known, with noise that is drawn once."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.measurement import Measurement
from orchestrator.scheduling.estimates.throughput import row, share

DEVICE = "cpu:planted"
TRUE = (2e-4, 3e-8, 4e-11, 5e-9, 8e-5, 6e-9)


def features(generator: random.Random, **changes: object) -> Features:
    """A network of the wide range that people train."""
    flops = math.exp(generator.uniform(math.log(5e5), math.log(5e8)))
    found = Features(
        family="regnet",
        flops=flops,
        activations=math.sqrt(flops) * math.exp(generator.uniform(2, 5)),
        params=flops * math.exp(generator.uniform(-6, -2)),
        layers=generator.randint(10, 80),
        inputs=generator.choice([192, 3072, 150_528]),
        slice_samples=generator.choice([8, 16, 32, 64]),
        virtual_workers=4,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def plant(
    count: int, *, noise: float = 0.0, exponent: float = 1.0, workers: tuple[int, ...] = (1,), seed: int = 1
) -> list[Measurement]:
    """Measurements of so many networks; `noise`: of the logarithm; `exponent`: of the speed over workers."""
    generator = random.Random(seed)
    found = []
    for number in range(count):
        each, size = features(generator), workers[number % len(workers)]
        alone = sum(c * x for c, x in zip(TRUE, row(each, DEVICE), strict=True))
        seconds = alone * share(each, size, exponent) * math.exp(generator.gauss(0, noise))
        samples = 60.0 / seconds
        found.append(Measurement(f"r{number}", "regnet", DEVICE, each, size, samples, 60.0, at=float(number)))
    return found
