"""Randomness keyed by what it is for: equal (seed, purpose, step, slice) give equal numbers in any process."""

from __future__ import annotations

import torch

from orchestrator.data.keyed import derive_key


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one use of randomness; different purposes are independent."""
    return int.from_bytes(derive_key("training", seed, *purpose)[:8], "big") >> 1


def seed_slice(seed: int, step: int, index: int, device: torch.device, *, part: int = 0) -> None:
    """Seed torch's generators, the CPU's and the device's, for the forward pass of one part of a slice.

    Dropout, drop-path, masks that are drawn on the CPU. Numpy's and Python's generators are no part of this: what a
    task draws from them depends on who runs what.
    """
    purpose: tuple[str | int, ...] = ("slice", step, index, part) if part else ("slice", step, index)
    _seed_default(derived_seed(seed, *purpose), device)


def seed_chunk(seed: int, split: str, chunk: int, device: torch.device) -> None:
    """Seed the same generators for one chunk of an evaluation, alike in every evaluation of a training."""
    _seed_default(derived_seed(seed, "evaluation", split, chunk), device)


def seed_initialisation(seed: int) -> None:
    """Seed the generator that initial parameters are drawn from; they are drawn on the CPU, whatever the device."""
    _seed_default(derived_seed(seed, "initialisation"), torch.device("cpu"))


def _seed_default(number: int, device: torch.device) -> None:
    # torch.manual_seed would also queue a seed (with a stack trace, 0.1 ms) for every accelerator that is not in use.
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)
    torch.default_generator.manual_seed(number)
