"""The two sides of tracking: what work reports to (`Tracker`), and what the forwarder sends to (`Target`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from orchestrator.base.errors import OrchestratorError

RunStatus = Literal["finished", "failed", "stopped"]
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_\-. /:]")


def safe_name(name: str) -> str:
    """A metric's, parameter's or tag's name with only the characters that every tracker takes."""
    return _NOT_IN_NAMES.sub("_", name)[:250].strip("/. ") or "_"


class Tracker(Protocol):
    """What a recipe or a search reports to. A run is named by a key: `<job>`, or `<job>/trial-<index>` for a child."""

    def start_run(
        self,
        key: str,
        *,
        parent: str | None = None,
        name: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """A run begins, or goes on; saying it again does no harm."""
        ...

    def metrics(self, key: str, step: int, values: Mapping[str, float], time: float | None = None) -> None:
        """Values at `step` (samples seen), measured at `time` (seconds since the epoch; default: now)."""
        ...

    def artifact(self, key: str, path: Path, artifact_path: str = "") -> None:
        """A file of the job's directory, to be kept with the run in the folder `artifact_path`."""
        ...

    def end_run(self, key: str, status: RunStatus) -> None:
        """A run is over."""
        ...

    def flush(self) -> None:
        """Write down what was reported so far."""
        ...


class Discard:
    """The tracker of a workload that says `tracking: {enabled: false}`."""

    def start_run(
        self,
        key: str,
        *,
        parent: str | None = None,
        name: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """Nothing."""

    def metrics(self, key: str, step: int, values: Mapping[str, float], time: float | None = None) -> None:
        """Nothing."""

    def artifact(self, key: str, path: Path, artifact_path: str = "") -> None:
        """Nothing."""

    def end_run(self, key: str, status: RunStatus) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Measurement:
    """One value of one metric; (run, metric, step) is sent at most once."""

    metric: str
    value: float
    step: int
    time: float


class TrackerUnavailable(OrchestratorError):
    """The tracking server does not answer; what was spooled is sent later."""

    code = "tracker_unavailable"


class TrackerRefused(OrchestratorError):
    """The tracking server refuses this record for good."""

    code = "tracker_refused"


class Target(Protocol):
    """A tracking server, as the forwarder sees it.

    Every method may raise `TrackerUnavailable` (try again later) or `TrackerRefused` (never try again).
    """

    def open_run(self, experiment: str, key: str, parent: str | None, name: str, time: float) -> tuple[str, bool]:
        """The run that carries `key`, created where there is none: (identifier there, whether it was created)."""
        ...

    def describe(self, run: str, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Name, parameters and tags of a run that goes on; parameters that it has already stay."""
        ...

    def sent(self, run: str) -> set[tuple[str, int]]:
        """The (metric, step) pairs that the server has."""
        ...

    def send(self, run: str, measurements: Sequence[Measurement]) -> None:
        """Add values."""
        ...

    def upload(self, run: str, path: Path, artifact_path: str) -> None:
        """Add a file, or replace it."""
        ...

    def close_run(self, run: str, status: RunStatus, time: float) -> None:
        """The run is over."""
        ...
