"""An agent's events, written also where the disk is full or away for a while: the run's end must not be lost."""

from __future__ import annotations

import time
from typing import Any

from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.events import EventWriter
from orchestrator.runtime.logs import say

_WRITE_AGAIN_SECONDS = 60.0


class DurableEvents:
    """The events of one agent.

    Args:
        files: the allocation.
        token: the run's fencing token.
        pause: seconds between two tries.
    """

    def __init__(self, files: AllocationFiles, token: int, *, pause: float = 1.0) -> None:
        self._pause = pause
        self._events = EventWriter(files.run, files.writer, token)
        self._later: list[tuple[str, dict[str, Any]]] = []
        self._again_at = 0.0

    def write(self, kind: str, **data: Any) -> None:
        """Append an event, with those that were put off before it; again and again for a minute where it fails.

        Raises:
            OSError: it cannot be written.
        """
        self._later.append((kind, data))
        deadline = time.monotonic() + _WRITE_AGAIN_SECONDS
        while not self._write():
            if time.monotonic() > deadline:
                raise OSError(f"the event {kind} cannot be written")
            time.sleep(self._pause)

    def note(self, kind: str, **data: Any) -> None:
        """Append an event; where that fails, later, in order."""
        self._later.append((kind, data))
        self.catch_up()

    def catch_up(self) -> None:
        """Write what was put off, if there is something and it is time to try again."""
        if self._later and time.monotonic() >= self._again_at:
            self._write()

    def _write(self) -> bool:
        """Write all that waits; whether nothing is left."""
        while self._later:
            kind, data = self._later[0]
            try:
                self._events.append(kind, **data)
            except OSError as error:
                say(f"cannot write the event {kind}: {error}")
                self._again_at = time.monotonic() + self._pause
                return False
            del self._later[0]
        return True
