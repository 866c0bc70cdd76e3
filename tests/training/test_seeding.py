"""Randomness follows from its purpose."""

from __future__ import annotations

import pytest
import torch

from orchestrator.training.seeding import derived_seed, seed_chunk, seed_slice

CPU = torch.device("cpu")


def test_a_slices_numbers_do_not_depend_on_what_was_drawn_before() -> None:
    seed_slice(1, 5, 2, CPU)
    first = torch.rand(4)
    torch.rand(100)
    seed_slice(1, 5, 2, CPU)
    assert torch.equal(torch.rand(4), first)


def test_steps_slices_and_seeds_have_numbers_of_their_own() -> None:
    keys = [(seed, step, index) for seed in range(4) for step in range(4) for index in range(4)]
    assert len({derived_seed(seed, "slice", step, index) for seed, step, index in keys}) == 64


def test_seeds_are_the_same_on_every_machine() -> None:
    assert derived_seed(1, "initialisation") == 257329339494271903


def test_on_a_gpu_the_generator_of_the_cpu_is_seeded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.Generator()  # stands for that of the device
    monkeypatch.setattr(torch.cuda, "default_generators", (gpu,))
    found = []
    for _ in range(2):
        seed_slice(1, 5, 2, torch.device("cuda", 0))
        found.append((torch.rand(4), torch.rand(4, generator=gpu)))
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_chunks_of_different_splits_have_numbers_of_their_own() -> None:
    found = set()
    for split in ("validation", "test"):
        for chunk in range(3):
            seed_chunk(1, split, chunk, CPU)
            found.add(torch.rand(1).item())
    assert len(found) == 6
