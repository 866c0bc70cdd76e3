"""Seconds of a sample: sane without history, learned from it, with an error that is as large as it says."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from planted import DEVICE, TRUE, features, plant

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.errors import QUANTILE_10
from orchestrator.scheduling.estimates.throughput import EXPONENT, evaluated_by, learn, row, share

RESNET50 = Features("resnet", 4.1e9, 11.1e6, 25.6e6, 54, 150_528, 256, 1, "bf16")


def true_seconds(of: Features) -> float:
    return sum(c * x for c, x in zip(TRUE, row(of, DEVICE), strict=True))


def forward(of: Features) -> float:
    return sum(c * x for c, x in zip(TRUE, row(of, DEVICE, forwards=1.0), strict=True))


@pytest.mark.parametrize(("device", "low", "high"), [("NVIDIA H100", 1000, 6000), ("NVIDIA A100-SXM4-80GB", 700, 4000)])
def test_without_history_a_known_gpu_trains_resnet50_about_as_fast_as_it_is_known_to(
    device: str, low: float, high: float
) -> None:
    rate = learn([], device, "bf16").rate(RESNET50)
    assert low < 1 / rate.seconds < high
    assert 0.4 < rate.error < 1.0


def test_without_history_an_unknown_device_has_a_larger_error() -> None:
    assert learn([], "some gpu").rate(RESNET50).error > learn([], "h100").rate(RESNET50).error


def test_the_row_of_a_training_pass_by_hand() -> None:
    of = Features("regnet", 100.0, 10.0, 50.0, 5, 7, 4)
    assert row(of, "h200") == (1.0, 7.0, 300.0, 30.0, 3.75, 12.5)
    assert row(replace(of, recompute=True), "h200") == (1.0, 7.0, 400.0, 40.0, 5.0, 12.5)
    assert row(of, "h200", forwards=1.0) == (1.0, 7.0, 100.0, 10.0, 1.25, 0.0)


def test_several_cores_share_a_pass_on_a_cpu_and_not_on_a_gpu() -> None:
    of = Features("regnet", 100.0, 10.0, 50.0, 5, 7, 4, cores=4)
    assert row(of, "cpu:x")[2] == pytest.approx(300 / 4**0.85)
    assert row(of, "h200")[2] == 300


def test_the_busiest_worker_decides() -> None:
    of = Features("regnet", 1.0, 1.0, 1.0, 1, 1, 8, virtual_workers=5)
    assert [share(of, workers, 1.0) for workers in (1, 2, 3, 4, 5, 9)] == [1, 0.6, 0.4, 0.4, 0.2, 0.2]
    assert share(of, 2, 0.5) == pytest.approx(0.6 * 2**0.5)


def test_planted_speeds_are_found() -> None:
    model = learn(plant(60), DEVICE)
    generator = random.Random(99)
    for _ in range(20):
        new = features(generator)
        assert model.rate(new).seconds == pytest.approx(true_seconds(new), rel=0.12)


def test_more_history_makes_a_smaller_error() -> None:
    new = features(random.Random(99))
    errors = [learn(plant(count, noise=0.05), DEVICE).rate(new).error for count in (0, 4, 12, 48)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.4])
def test_the_stated_interval_holds_eight_of_ten_true_times(noise: float) -> None:
    inside = total = 0
    for seed in range(1000, 1012):
        model = learn(plant(24, noise=noise, seed=seed), DEVICE)
        generator = random.Random(seed - 900)
        for _ in range(30):
            new = features(generator)
            rate = model.rate(new)
            true = true_seconds(new) * math.exp(generator.gauss(0, noise))
            inside += abs(math.log(true / rate.seconds)) <= QUANTILE_10 * rate.error
            total += 1
    assert 0.7 <= inside / total <= 0.99


def test_a_model_that_was_trained_here_before_is_known_better() -> None:
    history = plant(20, noise=0.3)
    known, new = history[3].features, features(random.Random(99))
    again = [replace(history[3], run=f"again{i}", at=100.0 + i) for i in range(3)]
    model = learn([*history, *again], DEVICE)
    assert model.rate(known).error < model.rate(new).error
    measured = history[3].seconds / history[3].samples / share(known, 1, 1.0)
    assert model.rate(known).seconds == pytest.approx(measured, rel=0.1)


def test_slices_of_the_batch_are_no_other_model() -> None:
    history = plant(6)
    other = replace(history[0].features, virtual_workers=16, average=True)
    assert learn(history, DEVICE).rate(other).same == 1


def test_the_exponent_over_workers_is_learned() -> None:
    assert learn([], DEVICE).exponent == EXPONENT
    found = learn(plant(60, noise=0.05, exponent=0.7, workers=(1, 2, 4)), DEVICE).exponent
    assert found == pytest.approx(0.7, abs=0.06)


def test_one_worker_alone_says_nothing_about_several() -> None:
    assert learn(plant(30, noise=0.1), DEVICE).exponent == pytest.approx(EXPONENT)


def test_other_devices_and_precisions_do_not_count() -> None:
    history = plant(10)
    assert learn(history, "cpu:other").measured == 0
    assert learn(history, DEVICE, "bf16").measured == 0


def test_what_was_hardly_measured_does_not_count() -> None:
    history = [replace(each, seconds=0.05, samples=1.0) for each in plant(10)]
    assert learn(history, DEVICE).measured == 0


def test_evaluations_are_learned_too() -> None:
    slow = [replace(m, evaluated=1000.0, evaluation_seconds=2000.0 * true_seconds(m.features)) for m in plant(20)]
    of = features(random.Random(99))
    assert learn(slow, DEVICE).evaluated(of) > 1.5 * learn(plant(20), DEVICE).evaluated(of)


def test_what_several_workers_evaluated_together_is_what_several_need() -> None:
    """Planted: working together costs the same at evaluations as at steps, W ** 0.3."""
    history = [
        replace(m, evaluated=1e4, evaluation_seconds=1e4 * forward(m.features) * 1.5 / m.workers**0.7)
        for m in plant(60, exponent=0.7, workers=(4, 8))
    ]
    of, model = features(random.Random(99)), learn(history, DEVICE)
    for workers in (4, 8):
        found = model.evaluated(of) * evaluated_by(workers, 1e4, model.exponent)
        assert found == pytest.approx(1.5 * forward(of) / workers**0.7, rel=0.15)


def test_who_gets_no_sample_to_evaluate_does_not_help() -> None:
    assert evaluated_by(8, 4.0, 1.0) == evaluated_by(4, 4.0, 1.0) == 0.25
    assert evaluated_by(4, 0.0, 1.0) == 1.0


def test_runs_at_another_precision_do_not_push_out_what_is_known_of_this_one() -> None:
    other = [
        replace(m, run=f"o{i}", features=replace(m.features, precision="bf16"), at=1e6)
        for i, m in enumerate(plant(100))
    ]
    assert learn([*plant(10), *other], DEVICE).measured == 10
