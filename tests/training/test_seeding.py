"""Randomness follows from its purpose."""

from __future__ import annotations

import torch

from orchestrator.training.seeding import derived_seed, seed_slice

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
