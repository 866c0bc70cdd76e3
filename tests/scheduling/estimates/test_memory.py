"""Bytes of a worker: by hand, and learned from peaks."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from planted import DEVICE, features, plant

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.memory import Memory, footprint, learn

NET = Features("regnet", 1e6, 1e5, 1e6, 20, 3072, 16, 1, "fp32")


def test_the_state_by_hand() -> None:
    assert footprint(NET, "h200").state == 4e6 * 3  # parameters, gradients, momentum
    assert footprint(replace(NET, optimizer_slots=2, average=True), "h200").state == 4e6 * 5
    assert footprint(replace(NET, virtual_workers=8), "h200").state == 4e6 * 7  # one sum, and a path of three
    assert footprint(replace(NET, virtual_workers=8), "h200", workers=4).state == 4e6 * 5


def test_a_sharded_state_is_shared_out() -> None:
    sharded = replace(NET, sharded=True)
    assert footprint(sharded, "h200", workers=4).state == pytest.approx(4e6 * 3 / 4 + 1e6)


def test_activations_by_hand() -> None:
    assert footprint(NET, "h200").activations == 16 * (2 * 4e5 + 4 * 3072)
    half = footprint(replace(NET, precision="bf16"), "h200").activations
    assert half == 16 * (2 * 2e5 + 4 * 3072) + 2e6


def test_computing_twice_keeps_less() -> None:
    assert footprint(replace(NET, recompute=True), "h200").total < footprint(NET, "h200").total


def test_without_peaks_it_is_the_arithmetic() -> None:
    assert Memory("h200").bytes(NET) == footprint(NET, "h200").total


def test_it_is_learned_from_peaks() -> None:
    def true(of: Features) -> float:
        held = footprint(of, DEVICE)
        return 1.3 * held.process + 1.5 * held.state + 0.7 * held.activations

    history = [replace(m, memory=true(m.features)) for m in plant(30)]
    found, generator = learn(history, DEVICE), random.Random(7)
    assert found.error < 0.15
    for _ in range(10):
        new = features(generator)
        assert abs(math.log(found.bytes(new) / true(new))) < 0.1
