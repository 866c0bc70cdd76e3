"""Which worker writes what, and the copies in host memory that are written while the training goes on."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from orchestrator.training.checkpoint.items import Piece

ALONE_BYTES = 4 * 2**20
"""A worker more writes for each so many bytes of whole tensors: small states are one file."""


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether this is a DTensor; told without importing that module, which costs 2 s."""
    return hasattr(tensor, "__create_chunk_list__")


def own_pieces(tensors: Mapping[str, torch.Tensor], rank: int, size: int) -> list[Piece]:
    """What worker `rank` of `size` writes: its shards, and its share of the whole tensors.

    Whole tensors are equal on all workers; each is written by one, the largest first by whoever has least to write.
    """
    whole = {name: tensor for name, tensor in tensors.items() if not is_sharded(tensor)}
    writers = writers_of(whole, size)
    pieces = [_whole(name, tensor) for name, tensor in whole.items() if writers[name] == rank]
    for name, tensor in tensors.items():
        if is_sharded(tensor):
            pieces += _shards(name, tensor)
    return pieces


def writers_of(whole: Mapping[str, torch.Tensor], size: int) -> dict[str, int]:
    """Of each tensor that all workers hold, the rank that writes it."""
    total = sum(tensor.nbytes for tensor in whole.values())
    loads = [0] * max(1, min(size, -(-total // ALONE_BYTES)))
    writers = {}
    for name, tensor in sorted(whole.items(), key=lambda item: (-item[1].nbytes, item[0])):
        writers[name] = loads.index(min(loads))
        loads[writers[name]] += tensor.nbytes
    return writers


def _whole(name: str, tensor: torch.Tensor) -> Piece:
    return Piece(name, tuple(tensor.shape), (0,) * tensor.dim(), tensor.detach())


def _shards(name: str, tensor: Any) -> list[Piece]:
    """This worker's box of a DTensor; none where it is empty, or where another worker has the same one."""
    mesh = tensor.device_mesh
    place = mesh.get_coordinate()
    if place is None or any(place[n] for n, one in enumerate(tensor.placements) if one.is_replicate()):
        return []
    local = tensor.detach().to_local()
    if not local.numel() and tensor.numel():
        return []
    return [Piece(name, tuple(tensor.shape), tuple(box.offsets), local) for box in tensor.__create_chunk_list__()]


class Buffers:
    """Host memory for the copies, used from checkpoint to checkpoint: fresh pages cost more than the copy."""

    def __init__(self) -> None:
        self._free: defaultdict[tuple[object, ...], list[torch.Tensor]] = defaultdict(list)
        self._lock = threading.Lock()

    def copy(self, pieces: Iterable[Piece]) -> list[Piece]:
        """The pieces with values of their own, which nobody changes until `give_back`; what is not used is freed."""
        with self._lock:
            copies = [Piece(p.name, p.shape, p.offsets, self._copy(p.values)) for p in pieces]
            self._free.clear()
        for device in {piece.values.device for piece in pieces if piece.values.is_cuda}:
            torch.cuda.current_stream(device).synchronize()
        return copies

    def give_back(self, pieces: Iterable[Piece]) -> None:
        """The copies are written."""
        with self._lock:
            for piece in pieces:
                self._free[_form(piece.values, piece.values.is_pinned())].append(piece.values)

    def _copy(self, values: torch.Tensor) -> torch.Tensor:
        waiting = self._free[_form(values, values.is_cuda)]
        buffer = waiting.pop() if waiting else torch.empty_like(values, device="cpu", pin_memory=values.is_cuda)
        return buffer.copy_(values, non_blocking=values.is_cuda)


def _form(values: torch.Tensor, pinned: bool) -> tuple[object, ...]:
    return (values.dtype, tuple(values.shape), values.stride(), pinned)
