"""The sum over slices has one order, whoever adds."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.training.slices import share
from orchestrator.training.tree_sum import Node, SubtreeSums, finish_tree, maximal_nodes, root


def leaves(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(5, generator=generator) * 10.0 ** (i % 7) for i in range(count)]


def summed_by(workers: int, count: int, filled: int) -> torch.Tensor:
    """The sum as `workers` workers would make it, without a network."""
    sums: dict[Node, torch.Tensor] = {}
    for worker in range(workers):
        owned = share(count, worker, workers)
        partial = SubtreeSums(maximal_nodes(count, owned))
        for index in owned:
            if index < filled:
                partial.add(index, leaves(count)[index])
        sums |= partial.finish()
    return finish_tree(sums, count)


@given(count=st.integers(1, 40), data=st.data())
def test_the_bits_do_not_depend_on_the_workers(count: int, data: st.DataObject) -> None:
    workers, filled = data.draw(st.integers(1, count)), data.draw(st.integers(1, count))
    assert torch.equal(summed_by(workers, count, filled), summed_by(1, count, filled))


@given(count=st.integers(1, 40))
def test_it_is_the_sum(count: int) -> None:
    exact = torch.stack(leaves(count)).double().sum(0)
    assert torch.allclose(summed_by(1, count, count).double(), exact, rtol=1e-4, atol=1.0)


def test_the_order_is_a_binary_tree_and_not_a_chain() -> None:
    a, b, c, d = leaves(4)
    assert torch.equal(summed_by(1, 4, 4), (a + b) + (c + d))
    assert not torch.equal(summed_by(1, 4, 4), ((a + b) + c) + d)


def test_the_tree_is_padded_to_a_power_of_two() -> None:
    assert [root(count).size for count in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]


def test_an_aligned_share_is_one_sub_tree() -> None:
    assert maximal_nodes(8, range(4, 8)) == (Node(4, 4),)


def test_an_unaligned_share_is_few_sub_trees() -> None:
    assert maximal_nodes(8, range(3, 8)) == (Node(3, 1), Node(4, 4))


def test_padding_does_not_split_a_sub_tree() -> None:
    assert maximal_nodes(5, range(3, 5)) == (Node(3, 1), Node(4, 4))


def test_a_worker_keeps_few_tensors_at_a_time() -> None:
    partial = SubtreeSums(maximal_nodes(64, range(64)))
    held = []
    for index in range(64):
        partial.add(index, torch.ones(1))
        held.append(len(partial._sums))
    assert max(held) <= 6
    assert partial.finish()[Node(0, 64)].item() == 64


@given(count=st.integers(1, 40), data=st.data())
def test_adding_a_right_leaf_to_its_left_one_outside_changes_no_bit(count: int, data: st.DataObject) -> None:
    owned = range(data.draw(st.integers(0, count - 1)), count)
    outside, inside = (SubtreeSums(maximal_nodes(count, owned)) for _ in range(2))
    for index in owned:
        inside.add(index, leaves(count)[index])
        left = outside.take_left(index)
        if left is None:
            outside.add(index, leaves(count)[index])
        else:
            outside.add_pair(index, left + leaves(count)[index])
    found, expected = outside.finish(), inside.finish()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[node], value) for node, value in expected.items())
