"""Signals as a queue: a handler only takes a note, the main loop wakes up and acts."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Sequence
from types import FrameType


class SignalInbox:
    """Notes signals of a single-threaded process and wakes its loop.

    Handlers are functions, never SIG_IGN: an ignored signal would stay ignored in every program that is executed.

    Args:
        numbers: which signals to note.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._noted: set[signal.Signals] = set()
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted.add(signal.Signals(number))

    def fileno(self) -> int:
        """Readable when a signal has come: for loops that wait for other things, too."""
        return self._reader

    def wait(self, seconds: float | None, also: Sequence[int] = ()) -> set[signal.Signals]:
        """Sleep until a signal comes or the time is over; what came since the last call.

        Args:
            seconds: at most; None: for ever.
            also: files; one that is readable ends the sleep, too.
        """
        if not self._noted:
            select.select([self._reader, *also], [], [], seconds)
        while _drain(self._reader):
            pass
        noted, self._noted = self._noted, set()
        return noted


def _drain(reader: int) -> bytes:
    try:
        return os.read(reader, 4096)
    except BlockingIOError:
        return b""
