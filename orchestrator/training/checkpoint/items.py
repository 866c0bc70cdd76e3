"""Tensors in a file, one after another, each as `torch.save` has it: the form of torch.distributed.checkpoint.

Written and read here without that library where no tensor is sharded: importing it costs a process 2.8 s.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from orchestrator.training.checkpoint.manifest import Chunk, Damaged, FileEntry

_AT_ONCE = 4 * 2**20
"""Bytes that are hashed and written in one call: one that often lets go of the interpreter slows others down."""


@dataclass(frozen=True)
class Piece:
    """A box of a tensor that one worker writes.

    Attributes:
        name: of the tensor.
        shape: of the whole tensor.
        offsets: of the box in it.
        values: the box itself.
    """

    name: str
    shape: tuple[int, ...]
    offsets: tuple[int, ...]
    values: torch.Tensor


class HashingFile(io.RawIOBase):
    """A file that is written from its beginning to its end, and knows its size and SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: object, /) -> int:
        """Append bytes."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._digest.update(view)
        self._file.write(view)
        self._size += len(view)
        return len(view)

    def tell(self) -> int:
        """Bytes so far."""
        return self._size

    def entry(self) -> FileEntry:
        """What was written."""
        return FileEntry(self._size, self._digest.hexdigest())


def write_items(file: HashingFile, name: str, pieces: Iterable[Piece], *, between: Callable[[], None]) -> list[Chunk]:
    """Write pieces into a file.

    Args:
        file: where to.
        name: of that file in the checkpoint's folder.
        pieces: whose values are tensors that own their storage, on the CPU.
        between: called before each piece; what it raises ends the writing.

    Returns:
        Where each of them lies.
    """
    chunks = []
    buffered = io.BufferedWriter(file, _AT_ONCE)
    for piece in pieces:
        between()
        start = buffered.tell()
        torch.save(piece.values, buffered)
        chunks.append(Chunk(piece.offsets, tuple(piece.values.shape), name, start, buffered.tell() - start))
    buffered.flush()
    buffered.detach()
    return chunks


def read_item(file: BinaryIO, chunk: Chunk, dtype: torch.dtype) -> torch.Tensor:
    """The box that lies at `chunk`; nothing of the file is executed.

    Raises:
        Damaged: something else lies there.
    """
    file.seek(chunk.offset)
    try:
        values: Any = torch.load(io.BytesIO(file.read(chunk.length)), map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no public name for what it refuses
        raise Damaged("it holds something other than tensors; nothing of it was executed") from error
    plain = type(values) is torch.Tensor and values.layout is torch.strided
    if not plain or values.dtype != dtype or tuple(values.shape) != chunk.sizes:
        raise Damaged("it holds something other than its manifest says")
    return cast(torch.Tensor, values)


def file_entry(path: Path) -> FileEntry:
    """Size and SHA-256 of a file."""
    with open(path, "rb") as file:
        return FileEntry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
