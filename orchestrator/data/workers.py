"""Worker processes that make batches ahead of time: a hint is sent, the batch comes back in shared memory.

Nothing depends on them. A batch that no worker made (none was asked, it died, it met an error) is made by whoever needs
it, by the same code, and so has the same bits. Workers end with their parent, however it ends: the other end of a pipe
that they watch is closed then; the shared memory has no name and goes with them.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import weakref
from collections import deque
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.reduction import send_handle

import numpy as np

from orchestrator.base.errors import UsageError
from orchestrator.data.arrays import Int64s
from orchestrator.data.images import ImageReader, Images
from orchestrator.data.slots import Slot
from orchestrator.data.transform import channels_first
from orchestrator.data.worker import START, NewReader, NewSlot, Reply, Request

_LOG = logging.getLogger(__name__)

_LENT = 3
"""Batches that whoever loads may hold without a copy; of a fourth one it gets a copy."""

_MEMORY = 512 * 2**20
"""Bytes of batches that a pool holds; where so few would fit that workers had to wait, one for each and one more."""

_PATIENCE = 120.0
"""Seconds after which a worker that does not answer is given up."""

_MOST_LOSSES = 4
"""Workers that end one after the other without having made a batch; after so many no more are started."""

# The memory of a batch is used again for the next instead of being asked of the kernel each time: 1.6 times the speed.
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**28), "OPENBLAS_NUM_THREADS": "1"}

# The parent decides when a job ends; a signal to the whole process group must not take its workers from it before.
_PARENTS_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


@dataclass(frozen=True)
class Made:
    """A batch: images (n, C, H, W) and their places (n,) in what was asked for."""

    images: Images
    places: Int64s


def look_ahead(workers: int) -> int:
    """How many batches a pool of so many workers makes ahead: two each, so that none waits for a busy parent."""
    return 2 * workers + 2


class Ticket:
    """A batch that was asked for; hand it back by `result` or `discard`, once."""

    def __init__(self, reader: ImageReader, rows: Int64s, slot: int) -> None:
        self.reader = reader
        self.rows = rows
        self.slot = slot
        self.reply: Reply | None = None
        self.wanted = True
        self.worker: _Worker | None = None


class WorkerPool:
    """Some worker processes, started when first needed and kept; loaders can share them.

    Args:
        workers: how many.
        patience: seconds after which one that does not answer is given up and replaced.
        memory: bytes of all batches, made and lent; the larger they are, the fewer are made ahead.
    """

    def __init__(self, workers: int, *, patience: float = _PATIENCE, memory: int = _MEMORY) -> None:
        if workers < 1:
            raise UsageError(f"a pool of {workers} workers makes nothing", hint="leave it out: no workers are needed")
        self.depth = look_ahead(workers)
        self.lost = 0
        self._wanted, self._patience, self._owner = workers, patience, os.getpid()
        self._least, self._memory = workers + 1, memory
        self._losses_in_a_row = 0
        self._slots = [Slot() for _ in range(self.depth + _LENT)]
        self._free = set(range(len(self._slots)))
        self._lent = 0
        self._readers: dict[ImageReader, int] = {}
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end_all, self._workers, self._owner)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the workers that run."""
        return tuple(worker.process.pid for worker in self._workers)

    def submit(self, reader: ImageReader, rows: Int64s, positions: Int64s, epoch: int) -> Ticket | None:
        """Ask for a batch; None where none can be made now, and whoever needs it makes it."""
        if reader.bytes_per_image is None or not self._usable():
            return None
        size = max(reader.bytes_per_image, 17) * len(rows)
        if not self._free or len(self._slots) - len(self._free) - self._lent >= self._depth_of(size):
            return None
        cache = reader.open_cache()
        ticket = Ticket(reader, rows, self._take(size))
        slot = self._slots[ticket.slot]
        slot.fit(size)
        slot.array((2, len(rows)), np.int64)[:] = rows, positions
        if cache is not None:
            slot.array((len(rows),), np.bool_, offset=16 * len(rows))[:] = cache.holds(rows)
        number = self._readers.setdefault(reader, len(self._readers))
        worker = self._idlest()
        try:
            worker.ask(number, slot, ticket, Request(number, ticket.slot, size, len(rows), epoch))
        except OSError:
            self._free.add(ticket.slot)
            self._lose(worker)
            return None
        return ticket

    def result(self, ticket: Ticket) -> Made | None:
        """The batch, waited for where it must be; None where the worker could not make it."""
        worker = ticket.worker
        while ticket.reply is None and worker in self._workers and self._usable():
            self._receive(worker)
        if ticket.reply is None or ticket.reply.error or not self._usable():
            self._free.add(ticket.slot)
            if ticket.reply is not None:
                _LOG.warning("a loader worker could not make a batch, which is made again: %s", ticket.reply.error)
            return None
        places = ticket.reply.places
        every = np.arange(len(ticket.rows), dtype=np.int64) if places is None else places
        return Made(channels_first(self._lend(ticket.slot, ticket.reply, ticket.reader)), every)

    def discard(self, ticket: Ticket) -> None:
        """The batch is not needed any more."""
        ticket.wanted = False
        if ticket.reply is not None or ticket.worker not in self._workers:
            self._free.add(ticket.slot)

    def close(self) -> None:
        """End the workers; what is asked for afterwards is not made."""
        self._wanted = 0
        self._end()
        for worker in self._workers:
            worker.pending.clear()
        self._workers.clear()

    def _usable(self) -> bool:
        """False in a fork of the process that has the workers: their answers are not for it."""
        return self._wanted > 0 and os.getpid() == self._owner

    def _depth_of(self, size: int) -> int:
        """How many batches of `size` bytes are made ahead."""
        return min(self.depth, max(self._least, self._memory // max(size, 1) - _LENT))

    def _take(self, size: int) -> int:
        """A free slot; the smallest that is large enough, or else the largest: few grow to the size of the largest."""
        sizes = {number: self._slots[number].size for number in self._free}
        fitting = [number for number, there in sizes.items() if there >= size]
        taken = min(fitting, key=sizes.__getitem__) if fitting else max(sizes, key=sizes.__getitem__)
        self._free.remove(taken)
        return taken

    def _idlest(self) -> _Worker:
        idle = min(self._workers, key=lambda worker: len(worker.pending), default=None)
        if idle is None or (idle.pending and len(self._workers) < self._wanted):
            idle = _Worker()
            self._workers.append(idle)
        return idle

    def _receive(self, worker: _Worker) -> None:
        """Take a worker's next answer, or notice that it is gone."""
        try:
            if not worker.pipe.poll(self._patience):
                _LOG.warning("loader worker %d has not answered for %g s", worker.process.pid, self._patience)
                return self._lose(worker)
            reply: Reply = worker.pipe.recv()
        except (EOFError, OSError):
            return self._lose(worker)
        self._losses_in_a_row = 0
        ticket = worker.pending.popleft()
        ticket.reply = reply
        ticket.reader.dataset.corrupt_rows.update(reply.skipped)
        if not reply.error and ticket.reader.cache is not None:
            ticket.reader.cache.tell(ticket.rows if reply.places is None else ticket.rows[reply.places], True)
        if not ticket.wanted:
            self._free.add(ticket.slot)
        return None

    def _lose(self, worker: _Worker) -> None:
        """Give a worker up: what it was asked for is made by whoever needs it, and the next one takes its place."""
        self._workers.remove(worker)
        status = worker.end(patience=0.5)
        self.lost += 1
        self._losses_in_a_row += 1
        how = f"killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        _LOG.warning("loader worker %d was %s; its batches are made again", worker.process.pid, how)
        self._free.update(ticket.slot for ticket in worker.pending if not ticket.wanted)
        if self._losses_in_a_row >= _MOST_LOSSES:
            _LOG.warning("%d loader workers ended in a row: batches are made without any", self._losses_in_a_row)
            self.close()

    def _lend(self, number: int, reply: Reply, reader: ImageReader) -> Images:
        """The batch in a slot as an array; the slot is free again when nothing refers to it any more."""
        batch = self._slots[number].owner(int(np.prod(reply.shape)), reader.pixels)
        if self._lent >= _LENT:
            self._free.add(number)
            return batch.reshape(reply.shape).copy()
        self._lent += 1
        weakref.finalize(batch, _give_back, weakref.ref(self), number).atexit = False
        return batch.reshape(reply.shape)

    def _take_back(self, number: int) -> None:
        self._lent -= 1
        self._free.add(number)


class _Worker:
    """One process, and what it was asked for."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        watched, self._life = os.pipe()
        self.pending: deque[Ticket] = deque()
        self._readers: set[int] = set()
        self._slots: set[int] = set()
        descriptors = (theirs.fileno(), watched)
        # Blocked signals stay so in a program that is started: there is no moment at which one could end it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS_SIGNALS)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", START, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            os.close(watched)

    def ask(self, number: int, slot: Slot, ticket: Ticket, request: Request) -> None:
        """Send a request, and first what it needs; OSError where the process is gone."""
        if number not in self._readers:
            cache = ticket.reader.cache
            self.pipe.send(NewReader(number, ticket.reader, cache is not None))
            if cache is not None:
                self._hand_over(cache.memory)
            self._readers.add(number)
        if request.slot not in self._slots:
            self.pipe.send(NewSlot(request.slot))
            self._hand_over(slot.memory)
            self._slots.add(request.slot)
        self.pipe.send(request)
        ticket.worker = self
        self.pending.append(ticket)

    def _hand_over(self, descriptor: int) -> None:
        send_handle(self.pipe, descriptor, self.process.pid)

    def end(self, patience: float) -> int:
        """End the process, killed after `patience` seconds; its exit status."""
        self.pipe.close()
        os.close(self._life)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _end_all(workers: list[_Worker], owner: int) -> None:
    if os.getpid() == owner:
        for worker in workers:
            worker.end(patience=2.0)


def _give_back(pool: weakref.ref[WorkerPool], slot: int) -> None:
    there = pool()
    if there is not None:
        there._take_back(slot)
