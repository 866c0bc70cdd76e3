"""Tensors that travel together keep their values and their memory format."""

from __future__ import annotations

import torch

from orchestrator.training.layout.buckets import Parts, in_buckets


def test_neighbours_of_one_type_share_a_bucket_up_to_its_size() -> None:
    tensors = [torch.zeros(3), torch.zeros(3), torch.zeros(3), torch.zeros(2, dtype=torch.int64), torch.zeros(50)]
    buckets = in_buckets(tensors, 24)
    assert [len(bucket.members) for bucket in buckets] == [2, 1, 1, 1]
    assert [bucket.numel for bucket in buckets] == [6, 3, 2, 50]


def test_nothing_makes_no_bucket() -> None:
    assert in_buckets([]) == ()


def test_what_was_packed_is_seen_in_the_shape_and_memory_format_of_its_member() -> None:
    members = [torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), torch.randn(()), torch.randn(5)]
    (bucket,) = in_buckets(members)
    flat = torch.zeros(bucket.numel + 3)
    bucket.pack(members, flat)
    views = bucket.views(flat)
    assert all(torch.equal(view, member) for view, member in zip(views, members, strict=True))
    assert views[0].stride() == members[0].stride()
    assert not flat[bucket.numel :].any()


def test_a_tensor_with_holes_gets_a_dense_place() -> None:
    member = torch.arange(8.0)[::2]
    (bucket,) = in_buckets([member])
    flat = torch.empty(4)
    bucket.pack([member], flat)
    assert flat.tolist() == [0, 2, 4, 6]


def test_parts_are_added_in_place() -> None:
    left = Parts([torch.ones(2), torch.zeros(1)])
    assert left.add_(Parts([torch.ones(2), torch.ones(1)])) is left
    assert [tensor.tolist() for tensor in left.tensors] == [[2, 2], [1]]
