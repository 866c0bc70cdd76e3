"""A loader's worker process: makes the batches that it is asked for, in shared memory, until its parent is gone.

It imports the data modules only, no torch: it starts in a moment and takes little memory.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

import numpy as np

from orchestrator.base.errors import OrchestratorError
from orchestrator.data.arrays import Int64s
from orchestrator.data.images import ImageReader
from orchestrator.data.slots import Slot

START = "from orchestrator.data.worker import main; main()"
"""What a worker's interpreter is given to run; its arguments are two descriptors: the pipe and the parent's life."""


@dataclass(frozen=True)
class NewReader:
    """A reader that the next requests are for; the descriptor of its cache follows where it has one."""

    number: int
    reader: ImageReader
    cached: bool


@dataclass(frozen=True)
class NewSlot:
    """A slot; its descriptor follows."""

    number: int


@dataclass(frozen=True)
class Request:
    """A batch of `count` samples to make in a slot of `size` bytes, where rows, positions and what is cached lie."""

    reader: int
    slot: int
    size: int
    count: int
    epoch: int


@dataclass(frozen=True)
class Reply:
    """What became of a request.

    Attributes:
        shape: (n, H, W, C) of the batch in the slot.
        places: (n,) of the samples in the request; None: all.
        skipped: rows that were found corrupt.
        error: what prevented it; empty where nothing did.
    """

    shape: tuple[int, ...] = ()
    places: Int64s | None = None
    skipped: tuple[int, ...] = ()
    error: str = ""


def main() -> None:
    """Serve the parent that started this process."""
    pipe, life = (int(argument) for argument in sys.argv[1:3])
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    try:
        _serve(Connection(pipe))
    except (EOFError, OSError):
        return  # the parent closed the pipe


def _end_with(life: int) -> None:
    """End this process, whatever it is doing, when the other end of `life` is closed: the parent is gone."""
    os.read(life, 1)
    os._exit(0)


def _serve(pipe: Connection) -> None:
    readers: dict[int, ImageReader] = {}
    slots: dict[int, Slot] = {}
    while True:
        message = pipe.recv()
        if isinstance(message, NewReader):
            readers[message.number] = message.reader
            if message.cached:
                message.reader.open_cache(recv_handle(pipe))
        elif isinstance(message, NewSlot):
            slots[message.number] = Slot(recv_handle(pipe))
        else:
            pipe.send(_made(readers[message.reader], slots[message.slot], message))


def _made(reader: ImageReader, slot: Slot, request: Request) -> Reply:
    """Make a batch. What goes wrong is only told: the parent makes the batch itself then, and meets the error."""
    slot.fit(request.size)
    rows, positions = slot.array((2, request.count), np.int64).copy()
    if reader.cache is not None:
        held = slot.array((request.count,), np.bool_, offset=16 * request.count)
        reader.cache.tell(rows, held.copy())
    known = set(reader.dataset.corrupt_rows)
    try:
        images, places = reader.read(rows, positions, request.epoch, slot.array)
    except OrchestratorError as error:
        return Reply(error=error.message)
    except Exception as error:
        return Reply(error=f"{type(error).__name__}: {error}")
    count, channels, height, width = images.shape
    return Reply(
        shape=(count, height, width, channels),
        places=None if count == request.count else places,
        skipped=tuple(sorted(reader.dataset.corrupt_rows - known)),
    )
