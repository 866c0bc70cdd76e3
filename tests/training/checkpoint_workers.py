"""Workers of a checkpoint test: threads of one process that agree through memory, and shards without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from orchestrator.training.checkpoint import CheckpointStore, KeepPolicy
from orchestrator.training.group import Group, alone

T = TypeVar("T")
ALONE = alone(torch.device("cpu"))


@dataclass
class Meeting:
    """What the threads of one group share."""

    size: int

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.size)
        self.values: list[Any] = [None] * self.size


@dataclass
class ThreadGroup:
    """The part of a `Group` that checkpoints use."""

    rank: int
    size: int
    meeting: Meeting

    def agree(self, number: int) -> int:
        return int(self._gather(number)[0])

    def any(self, flag: bool) -> bool:
        return any(self._gather(flag))

    def _gather(self, value: Any) -> list[Any]:
        self.meeting.values[self.rank] = value
        self.meeting.barrier.wait(10)
        found = list(self.meeting.values)
        self.meeting.barrier.wait(10)
        return found


def on_workers(size: int, work: Callable[[Group], T]) -> list[T]:
    """What `work` returns on each of so many workers, which run at once."""
    meeting = Meeting(size)
    with ThreadPoolExecutor(size) as pool:
        groups = [cast(Group, ThreadGroup(rank, size, meeting)) for rank in range(size)]
        return [future.result(20) for future in [pool.submit(work, group) for group in groups]]


def save(
    store: CheckpointStore, samples: int, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any] | None = None
) -> Path | str:
    return store.begin(samples, tensors, meta or {}, ALONE).wait()


def saved(root: Path, *places: int, keep: int = 2) -> CheckpointStore:
    """A store with a checkpoint at each of the places; its tensor `model/w` holds the place."""
    store = CheckpointStore(root, KeepPolicy(keep))
    for samples in places:
        save(store, samples, {"model/w": torch.full((3,), float(samples))}, {"at": samples})
    return store


def folders(root: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("samples-")) for path in root.iterdir())


def files_of(root: Path, samples: int) -> dict[str, Path]:
    """The files of a checkpoint: `manifest`, `part-0`, …"""
    return {path.stem: path for path in (root / f"samples-{samples:015d}").rglob("*") if path.is_file()}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextmanager
def pretended(rank: int, size: int) -> Iterator[Any]:
    """A device mesh of `size` workers in which this process is `rank`, without the others."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=size)
    try:
        yield dist.device_mesh.init_device_mesh("cpu", (size,))
    finally:
        dist.destroy_process_group()


def shard_of(whole: torch.Tensor, mesh: Any, dim: int = 0) -> torch.Tensor:
    """This worker's shard of a tensor, cut as FSDP cuts."""
    from torch.distributed.tensor import DTensor, Shard

    parts = list(whole.chunk(mesh.size(), dim))
    rank = mesh.get_local_rank()
    own = parts[rank] if rank < len(parts) else whole.narrow(dim, 0, 0)
    return DTensor.from_local(
        own.clone(), mesh, [Shard(dim)], run_check=False, shape=whole.shape, stride=whole.stride()
    )
