"""Bytes of a worker: by hand, and learned from peaks."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from planted import DEVICE, features, plant

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.errors import QUANTILE_10
from orchestrator.scheduling.estimates.measurement import Measurement, same_model
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
    assert Memory("h200").held(NET).bytes == footprint(NET, "h200").total


def test_it_is_learned_from_peaks() -> None:
    def true(of: Features) -> float:
        held = footprint(of, DEVICE)
        return 1.3 * held.process + 1.5 * held.state + 0.7 * held.activations

    history = [replace(m, memory=true(m.features)) for m in plant(30)]
    found, generator = learn(history, DEVICE), random.Random(7)
    assert found.new < 0.15
    for _ in range(10):
        new = features(generator)
        assert abs(math.log(found.held(new).bytes / true(new))) < 0.1


def peaks(count: int, *, again: int = 0, noise: float = 0.01, seed: int = 3) -> list[Measurement]:
    """Of so many models on a device that holds other amounts than the arithmetic says; the first one so often again."""
    generator = random.Random(seed)
    models = [features(generator) for _ in range(count)]
    models += [models[0]] * again
    return [
        Measurement(f"r{i}", "regnet", "h200", each, 1, 100, 60.0, memory=peak(each, noise, generator), at=float(i))
        for i, each in enumerate(models)
    ]


def peak(of: Features, noise: float, generator: random.Random) -> float:
    held = footprint(of, "h200")
    return (8 * held.process + 1.1 * held.state + 0.6 * held.activations) * math.exp(generator.gauss(0, noise))


def test_one_model_that_ran_often_makes_others_no_surer_than_one_that_ran_once() -> None:
    once, often = learn(peaks(1), "h200"), learn(peaks(1, again=39), "h200")
    generator = random.Random(5)
    new = [features(generator) for _ in range(100)]
    true = [math.log(peak(each, 0.01, generator) / often.held(each).bytes) for each in new]
    stated = often.held(new[0]).error
    assert stated == pytest.approx(once.held(new[0]).error, rel=0.1)
    assert math.sqrt(sum(error * error for error in true) / len(true)) < 2.5 * stated
    assert often.held(peaks(1)[0].features).error < 0.05 < once.held(peaks(1)[0].features).error


def test_a_model_whose_peak_is_known_is_known_by_it() -> None:
    history = peaks(20, again=10, noise=0.2)
    found, known = learn(history, "h200"), history[0].features
    mean = sum(math.log(m.memory or 0) for m in history if m.features == known) / 11
    assert math.log(found.held(known).bytes) == pytest.approx(mean, abs=0.03)
    assert found.held(replace(known, slice_samples=known.slice_samples * 3)).error == found.new


def test_of_many_models_the_one_that_ran_a_hundred_times_does_not_decide() -> None:
    others = peaks(12)
    found = learn([*others, *peaks(1, again=60, seed=8)], "h200")
    for each in others:
        corrected = math.exp(found.same[same_model(each.features)][1])
        assert found.held(each.features).bytes / corrected == pytest.approx(each.memory, rel=0.15)


@pytest.mark.parametrize("noise", [0.2, 0.4])
def test_the_stated_interval_holds_eight_of_ten_true_peaks(noise: float) -> None:
    inside = total = 0
    for seed in range(8):
        found, generator = learn(peaks(24, again=20, noise=noise, seed=seed), "h200"), random.Random(100 + seed)
        for _ in range(30):
            new = features(generator)
            error = math.log(peak(new, noise, generator) / found.held(new).bytes)
            inside += abs(error) <= QUANTILE_10 * found.held(new).error
            total += 1
    assert 0.7 <= inside / total <= 0.95
