"""Digests of tensors that lie in shards, and what a run's time is spent on."""

from __future__ import annotations

import torch

from orchestrator.training.digest import joint_digest, tensor_digests
from orchestrator.training.goodput import Goodput
from orchestrator.training.group import alone

CPU = alone(torch.device("cpu"))


def whole(tensor: torch.Tensor) -> str:
    return tensor_digests({"t": tensor}, {}, CPU)["t"]


def halves(digest: str) -> tuple[int, int]:
    return int(digest[:16], 16), int(digest[16:], 16)


def test_shards_add_up_to_the_digest_of_the_whole() -> None:
    tensor = torch.randn(7, 5)
    parts = [(tensor[:3], 0), (tensor[3:3], 15), (tensor[3:], 15)]
    found = [halves(tensor_digests({"t": part}, {"t": start}, CPU)["t"]) for part, start in parts]
    assert tuple(sum(column) % 2**64 for column in zip(*found, strict=True)) == halves(whole(tensor))


def test_one_bit_or_one_place_makes_another_digest() -> None:
    tensor = torch.tensor([0.0, 1.0, 2.0])
    assert len({whole(t) for t in (tensor, tensor.flip(0), torch.tensor([-0.0, 1.0, 2.0]), tensor[:2])}) == 4


def test_the_memory_format_does_not_matter_and_every_type_has_a_digest() -> None:
    images = torch.randn(2, 3, 4, 4)
    assert whole(images) == whole(images.contiguous(memory_format=torch.channels_last))
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool):
        assert len(whole(torch.tensor([1, 0, 1]).to(dtype))) == 32


def test_a_joint_digest_depends_on_names_and_not_on_their_order() -> None:
    assert joint_digest({"a": "1", "b": "2"}) == joint_digest({"b": "2", "a": "1"})
    assert joint_digest({"a": "1", "b": "2"}) != joint_digest({"a": "2", "b": "1"})


def test_time_goes_into_what_it_was_spent_on() -> None:
    now = iter([0.0, 2.0, 5.0, 6.0])
    clock = Goodput(lambda: next(now))
    clock.spent("idle")
    clock.spent("useful")
    clock.spent("redone")
    assert clock.document() == {"useful_seconds": 3.0, "redone_seconds": 1.0, "idle_seconds": 2.0}


def test_a_new_worker_takes_over_the_sums_of_one_that_was_there_for_longer() -> None:
    clock = Goodput(lambda: 0.0)
    clock.adopt({"useful_seconds": 9.0, "redone_seconds": 1.0, "idle_seconds": 2.0})
    clock.adopt({"useful_seconds": 1.0})
    assert clock.document() == {"useful_seconds": 9.0, "redone_seconds": 1.0, "idle_seconds": 2.0}
