"""The workers of a run as a training loop sees them: a process group over gloo or NCCL, or one process alone."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Group:
    """The workers, and the few collectives that training needs.

    Attributes:
        rank: this worker.
        size: W, the world size.
        device: where this worker computes.
    """

    rank: int
    size: int
    device: torch.device

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """Every worker's `value` (...), stacked by rank: (W, ...)."""
        if self.size == 1:
            return value.unsqueeze(0)
        gathered = value.new_empty(self.size, *value.shape)
        dist.all_gather_into_tensor(gathered.view(-1), value.contiguous().view(-1))
        return gathered

    def all_to_all(self, rows: torch.Tensor) -> torch.Tensor:
        """Send row r of `rows` (W, ...) to worker r; returns what each worker sent here, (W, ...)."""
        if self.size == 1:
            return rows
        received = torch.empty_like(rows)
        dist.all_to_all_single(received, rows)
        return received

    def all_reduce(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over workers, in place, in whatever order the engine adds."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def broadcast(self, value: torch.Tensor) -> torch.Tensor:
        """Worker 0's `value`, in place."""
        if self.size > 1:
            dist.broadcast(value, src=0)
        return value

    def agree(self, number: int) -> int:
        """Worker 0's `number`, on every worker."""
        return int(self.broadcast(torch.tensor([number], device=self.device)).item())

    def any(self, flag: bool) -> bool:
        """Whether any worker says yes."""
        return bool(self.all_gather(torch.tensor([flag], dtype=torch.uint8, device=self.device)).any().item())


def alone(device: torch.device | None = None) -> Group:
    """One process without a process group: a trial, or a run with one worker."""
    return Group(0, 1, device or _device(0))


@contextmanager
def join(environment: Mapping[str, str] = os.environ) -> Iterator[Group]:
    """The group that RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT describe, left at the end.

    A world of one forms no process group.
    """
    rank, size = int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1"))
    device = _device(int(environment.get("LOCAL_RANK", "0")))
    if size == 1:
        yield alone(device)
        return
    address, port = environment["MASTER_ADDR"], environment["MASTER_PORT"]
    if _is_loopback(address):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"tcp://{_bracketed(address)}:{port}",
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
    )
    try:
        yield Group(rank, size, device)
    finally:
        dist.destroy_process_group()


def _device(local_rank: int) -> torch.device:
    count = torch.cuda.device_count()
    return torch.device("cuda", local_rank % count) if count else torch.device("cpu")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
