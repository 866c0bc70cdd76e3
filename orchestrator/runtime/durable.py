"""Events of agents and workers, written also where the disk is full or away for a while: no work ends for that."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.logs import say

_WRITE_AGAIN_SECONDS = 60.0
_KEPT = 10_000


class DurableEvents:
    """The events of one agent or worker.

    Args:
        run: where to.
        writer: a name that nobody else uses.
        token: the run's fencing token.
        pause: seconds between two tries.
        patience: seconds after which `write` gives up.
    """

    def __init__(
        self,
        run: RunDirectory,
        writer: str,
        token: int,
        *,
        pause: float = 1.0,
        patience: float = _WRITE_AGAIN_SECONDS,
    ) -> None:
        self._pause, self._patience = pause, patience
        self._events = EventWriter(run, writer, token)
        self._later: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_KEPT)
        self._again_at = 0.0
        self._failing = False

    def write(self, kind: str, **data: Any) -> None:
        """Append an event, with those that were put off before it; again and again for a minute where it fails.

        Raises:
            OSError: it cannot be written.
        """
        self._later.append((kind, data))
        deadline = time.monotonic() + self._patience
        while not self._write():
            if time.monotonic() > deadline:
                raise OSError(f"the event {kind} cannot be written")
            time.sleep(self._pause)

    def note(self, kind: str, **data: Any) -> None:
        """Append an event; where that fails, later, in order."""
        self._later.append((kind, data))
        self.catch_up()

    def mention(self, kind: str, **data: Any) -> None:
        """Append an event that the next of its kind replaces; where that fails, never."""
        self.catch_up()
        if not self._later and time.monotonic() >= self._again_at:
            self._append(kind, data)

    def catch_up(self) -> None:
        """Write what was put off, if there is something and it is time to try again."""
        if self._later and time.monotonic() >= self._again_at:
            self._write()

    def _write(self) -> bool:
        """Write all that waits; whether nothing is left."""
        while self._later:
            if not self._append(*self._later[0]):
                return False
            self._later.popleft()
        return True

    def _append(self, kind: str, data: dict[str, Any]) -> bool:
        try:
            self._events.append(kind, **data)
        except OSError as error:
            if not self._failing:
                say(f"cannot write the event {kind}: {error}; trying again until it can be written")
            self._failing, self._again_at = True, time.monotonic() + self._pause
            return False
        self._failing = False
        return True
