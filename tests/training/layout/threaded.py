"""Groups whose workers are threads of one process: what a worker does between collectives, without processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch

from orchestrator.training.group import Group

T = TypeVar("T")


class Threaded(Group):
    """One of them."""

    table: list[torch.Tensor]
    sent: list[int]
    barrier: Barrier

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        return torch.stack(self._shared(value))

    def exchange(self, rows: torch.Tensor, sends: list[int], receives: list[int]) -> torch.Tensor:
        self.sent.append(rows.numel())
        parts = [self._part(each) for each in self._shared((rows, list(sends)))]
        assert [len(part) for part in parts] == list(receives)
        return torch.cat(parts)

    def _part(self, shared: tuple[torch.Tensor, list[int]]) -> torch.Tensor:
        rows, sends = shared
        return torch.split(rows, sends)[self.rank].clone()

    def _shared(self, value: T) -> list[T]:
        self.table[self.rank] = value
        self.barrier.wait(10)
        found = list(self.table)
        self.barrier.wait(10)
        return found


def together(size: int, function: Callable[[Threaded], T]) -> list[T]:
    """What a function comes to on each of so many workers."""
    table, barrier = [torch.empty(0)] * size, Barrier(size)
    groups = [Threaded(rank, size, torch.device("cpu")) for rank in range(size)]
    for group in groups:
        vars(group).update(table=table, barrier=barrier, sent=[])
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(function, groups))
