"""From one layout into another: every row arrives, in messages of bounded size; copies lie with the neighbour."""

from __future__ import annotations

import pytest
import torch
from threaded import Threaded, together

from orchestrator.training.layout.mirror import mirror
from orchestrator.training.layout.reshard import reshard
from orchestrator.training.layout.shards import Item, Resharding

WHOLE = {
    "model/weight": torch.arange(21.0).view(7, 3),
    "model/bias": torch.arange(2.0) + 100,
    "model/count": torch.tensor(5),
    "optimizer/velocity/weight": torch.arange(21.0).view(7, 3) * 2,
}
ITEMS = [Item(key, tuple(tensor.shape), tensor.dtype, sharded=key != "model/count") for key, tensor in WHOLE.items()]


def part(rank: int, size: int) -> dict[str, torch.Tensor]:
    """One worker's part of everything."""
    return {
        item.key: WHOLE[item.key][list(item.rows(rank, size))] if item.sharded else WHOLE[item.key] for item in ITEMS
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(("before", "members"), [(1, 3), (2, 3), (3, 2), (4, 1), (2, 5), (3, 3)])
@pytest.mark.parametrize("limit", [1, 50, 1 << 20])
def test_every_member_gets_its_part(before: int, members: int, limit: int) -> None:
    plan = Resharding(tuple((rank,) for rank in range(before)), members)

    def worker(group: Threaded) -> bool:
        held = {group.rank: part(group.rank, before)} if group.rank < before else {}
        found = reshard(group, ITEMS, plan, held, limit=limit)
        return same(found, part(group.rank, members) if group.rank < members else {})

    assert all(together(max(before, members), worker))


def test_no_message_is_longer_than_the_limit() -> None:
    plan = Resharding(((0,),), 3)

    def worker(group: Threaded) -> list[int]:
        reshard(group, ITEMS, plan, {0: part(0, 1)} if not group.rank else {}, limit=24)
        return group.sent

    sent = together(3, worker)
    assert sum(sent[0]) > 24
    assert max(size for sizes in sent for size in sizes) <= 24


def test_a_lost_part_comes_from_its_mirror() -> None:
    plan = Resharding(((0,), (1,), (1,)), 2)  # the third worker is gone; the second one has its part

    def worker(group: Threaded) -> bool:
        held = {0: part(0, 3)} if not group.rank else {1: part(1, 3), 2: part(2, 3)}
        return same(reshard(group, ITEMS, plan, held), part(group.rank, 2))

    assert all(together(2, worker))


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_each_worker_mirrors_the_one_before_it(limit: int) -> None:
    def worker(group: Threaded) -> bool:
        own = part(group.rank, 3)
        holding = mirror(group, ITEMS, own, 7, limit=limit)
        before = (group.rank - 1) % 3
        copied = holding.parts[group.rank]
        untouched = all(own[key].data_ptr() != copied[key].data_ptr() for key in own if own[key].numel())
        right = same(dict(copied), own) and same(dict(holding.parts[before]), part(before, 3))
        return right and untouched and holding.name == (7, 1, 3)

    assert all(together(3, worker))
