"""Jobs that wait for others to succeed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.scheduling.jobs import Job
from orchestrator.simulation.life import Life


class Dependencies:
    """Who waits for whom."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Life]] = {}

    def add(self, life: Life) -> None:
        """It waits for the jobs that its record names."""
        for parent in life.job.waits_for:
            self._waiting.setdefault(parent, []).append(life)

    def succeeded(self, parent: str) -> Iterator[Job]:
        """The records of those that waited for it, as they are now."""
        for life in self._waiting.pop(parent, ()):
            life.job = replace(life.job, waits_for=tuple(name for name in life.job.waits_for if name != parent))
            yield life.job
