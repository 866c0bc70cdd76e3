"""Devices by the many names that they have, and what follows from their data sheets."""

from __future__ import annotations

import pytest

from orchestrator.scheduling.estimates.devices import (
    PEAKS,
    UNKNOWN_GPU,
    canonical,
    is_cpu,
    is_known,
    peak_of,
    prior_of,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H200", "h200"),
        ("h200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA GeForce RTX 4090", "4090"),
        ("cpu:AMD EPYC  9654", "cpu:amd epyc 9654"),
        ("Some New  GPU", "some new gpu"),
    ],
)
def test_a_device_has_one_name(name: str, expected: str) -> None:
    assert canonical(name) == expected
    assert canonical(canonical(name)) == expected


def test_a_cpu_is_told_from_a_gpu() -> None:
    assert is_cpu("cpu:x86_64")
    assert not is_cpu("NVIDIA H200")
    assert not is_known("cpu:x86_64")


def test_an_unknown_gpu_is_a_middling_one() -> None:
    assert peak_of("Some New GPU") == UNKNOWN_GPU
    assert not is_known("Some New GPU")


def test_half_precision_is_faster_and_moves_half_the_bytes() -> None:
    full, half = prior_of("h100", "fp32").coefficients, prior_of("h100", "bf16").coefficients
    assert half[2] < full[2]
    assert half[3] == pytest.approx(full[3] / 2)


def test_a_multiply_add_is_two_operations_and_a_third_of_the_peak_is_reached() -> None:
    assert prior_of("a100", "bf16").coefficients[2] == pytest.approx(2 / (312e12 * 0.35))


def test_what_is_newer_is_faster() -> None:
    order = ["p100", "v100", "a100", "h100", "b200"]
    assert [PEAKS[n].half_flops for n in order] == sorted(PEAKS[n].half_flops for n in order)
