"""What a worker sees of its run's membership. Implementations: `link` (through an agent), `solo` (one process)."""

from __future__ import annotations

from typing import Literal, Protocol

from orchestrator.rundir.membership import View

Phase = Literal["compute", "collective", "idle"]
"""What a worker's training thread does: its own work, waiting for others, or nothing that has a deadline."""


class Membership(Protocol):
    """A worker's place in its run. Everything but `next_view` returns at once."""

    @property
    def number(self) -> int:
        """This worker's own number."""
        ...

    def ready(self, port: int) -> None:
        """Say that this worker is warm: imported, model built; it may be put into a view.

        Args:
            port: of its key-value store.
        """
        ...

    def next_view(self, after: int) -> View | None:
        """Wait for the newest view with an epoch above `after`.

        Returns:
            The view; this worker may be among its members, or among those who leave. None: there is no place for it
            any more, or the run is to end before there was any view: the worker ends.
        """
        ...

    def newest_epoch(self) -> int:
        """The newest view's epoch; asked before every step, a look at memory."""
        ...

    def broken(self, epoch: int, reason: str) -> None:
        """Say that the group of view `epoch` broke: a collective failed. The next view follows."""
        ...

    def beat(self, step: int, phase: Phase) -> None:
        """Say where the training thread is: a note in memory, which a thread of its own sends."""
        ...
