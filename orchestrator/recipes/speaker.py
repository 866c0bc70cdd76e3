"""Of the workers of a run one speaks at a time, the leader: metrics of the others are left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.tracking.protocol import RunStatus, Tracker


class Speaker:
    """A tracker that passes on what is said while this worker speaks.

    Args:
        tracker: of this worker alone: each leader has a writer of its own.
        speaks: whether it speaks now.
    """

    def __init__(self, tracker: Tracker, *, speaks: bool) -> None:
        self._tracker, self._speaks = tracker, speaks

    @property
    def speaks(self) -> bool:
        """Whether this worker speaks now."""
        return self._speaks

    def let(self, speak: bool) -> None:
        """From now on this worker speaks, or does not; what it said before is written down."""
        if not speak:
            self.flush()
        self._speaks = speak

    def start_run(
        self,
        key: str,
        *,
        parent: str | None = None,
        name: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """A run begins, or goes on."""
        if self._speaks:
            self._tracker.start_run(key, parent=parent, name=name, params=params, tags=tags)

    def metrics(self, key: str, step: int, values: Mapping[str, float], time: float | None = None) -> None:
        """Values at a step."""
        if self._speaks:
            self._tracker.metrics(key, step, values, time)

    def artifact(self, key: str, path: Path, artifact_path: str = "") -> None:
        """A file to be kept with the run."""
        if self._speaks:
            self._tracker.artifact(key, path, artifact_path)

    def end_run(self, key: str, status: RunStatus) -> None:
        """A run is over."""
        if self._speaks:
            self._tracker.end_run(key, status)

    def flush(self) -> None:
        """Write down what was said so far."""
        if self._speaks:
            self._tracker.flush()
