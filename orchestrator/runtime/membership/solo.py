"""The membership of one process alone: a trial, a test, a run without an agent that can resize."""

from __future__ import annotations

import os

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership.protocol import Phase


class Solo:
    """One view for ever: this process."""

    number = 0

    def ready(self, port: int) -> None:
        """It may begin."""

    def next_view(self, after: int) -> View | None:
        """The only view; there is none after it."""
        return None if after else View(1, (Member(self.number, "127.0.0.1", 0, os.getpid()),))

    def newest_epoch(self) -> int:
        """That of the only view."""
        return 1

    def broken(self, epoch: int, reason: str) -> None:
        """A group of one cannot break."""

    def beat(self, step: int, phase: Phase) -> None:
        """Nobody watches."""
