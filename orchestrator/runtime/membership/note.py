"""What a worker's training thread and the thread that talks for it leave for each other."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from dataclasses import dataclass

from orchestrator.rundir.membership import View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.protocol import Phase


@dataclass(frozen=True)
class Place:
    """Where the training thread is: see `events.WorkerBeat`."""

    step: int = 0
    phase: Phase = "idle"
    epoch: int = 0


class Note:
    """A board with one writer for each field.

    Attributes:
        port: of the worker's key-value store, once it is warm (by the training thread).
        place: where the training thread is (by itself).
        broken: the group that broke last (by the training thread).
        view: the newest (by the talking thread).
        released: there is no place for this worker (by the talking thread).
        closed: the talking is over (by the training thread).
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self.place = Place()
        self.broken: e.WorkerBroken | None = None
        self.view: View | None = None
        self.released = False
        self.closed = False
        self.changed = threading.Condition()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def wake_talker(self) -> None:
        """There is something to say."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0")

    def bring(self, view: View) -> None:
        """A view came; an older one than the newest is passed over."""
        with self.changed:
            if self.view is None or view.epoch > self.view.epoch:
                self.view = view
                self.changed.notify_all()

    def release(self) -> None:
        """There is no place for this worker."""
        with self.changed:
            self.released = True
            self.changed.notify_all()

    def sleep(self, seconds: float, *files: int) -> None:
        """The talking thread waits until it is woken, or one of the files can be read."""
        poll = select.poll()  # select knows no descriptors above 1023
        for file in (self.reader, *files):
            poll.register(file, select.POLLIN)
        poll.poll(1000 * seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self.reader, 4096)

    def destroy(self) -> None:
        """Both threads are through with it."""
        os.close(self.reader)
        os.close(self._writer)
