"""The spool: metrics on their way to the tracker, as numbered files under jobs/<job>/tracking/<writer>/.

A file is written whole and never changed, so a reader needs no lock and a killed writer leaves nothing half. Training
never waits for a server and never fails for tracking's sake: while the disk is full, what was reported stays in memory.
"""

from __future__ import annotations

import contextlib
import time as clock
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from orchestrator.base.files import create_exclusive
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.sections import Tracking
from orchestrator.tracking.protocol import Discard, RunStatus, Tracker
from orchestrator.tracking.records import Artifact, End, Metrics, Record, Start, decode, encode

_SUFFIX = ".jsonl"


class Spool:
    """A `Tracker` that writes into the job's directory.

    Args:
        job: whose metrics they are.
        writer: the folder's name, such as `search` or `rank-0`; one process at a time writes under it.
        token: the run's fencing token; an older one than the directory's may not write.
        experiment: the experiment that the runs belong to.
        interval: metrics are written at most once in so many seconds; everything else at once.
    """

    def __init__(
        self, job: JobDirectory, writer: str, token: int, *, experiment: str = "orchestrator", interval: float = 2.0
    ) -> None:
        self._job = job
        self._folder = job.tracking / writer
        self._token = token
        self._experiment = experiment
        self._interval = interval
        self._waiting: list[str] = []
        self._written = clock.monotonic()
        self._next: int | None = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

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
        self._add(Start(key, clock.time(), self._experiment, name, parent, dict(params), dict(tags)), now=True)

    def metrics(self, key: str, step: int, values: Mapping[str, float], time: float | None = None) -> None:
        """Values at `step` (samples seen)."""
        when = clock.time() if time is None else time
        self._add(Metrics(key, when, self._experiment, int(step), dict(values)), now=False)

    def artifact(self, key: str, path: Path, artifact_path: str = "") -> None:
        """A file of the job's directory.

        Raises:
            ValueError: the file lies outside the job's directory.
        """
        relative = path.resolve().relative_to(self._job.path.resolve())
        self._add(Artifact(key, clock.time(), self._experiment, str(relative), artifact_path), now=True)

    def end_run(self, key: str, status: RunStatus) -> None:
        """A run is over."""
        self._add(End(key, clock.time(), self._experiment, status), now=True)

    def flush(self) -> None:
        """Write one file with what was reported since the last one.

        Raises:
            Fenced: a newer run owns the job's directory.
        """
        if not self._waiting:
            return
        check_fence(self._job, self._token)
        content = ("\n".join(self._waiting) + "\n").encode()
        with contextlib.suppress(OSError):  # a full disk must not end a training; the next flush tries again
            self._folder.mkdir(parents=True, exist_ok=True)
            number = _newest(self._folder) + 1 if self._next is None else self._next
            while not create_exclusive(segment(self._folder, number), content):
                number += 1
            self._next = number + 1
            self._waiting = []
        self._written = clock.monotonic()

    def _add(self, record: Record, *, now: bool) -> None:
        self._waiting.append(encode(record))
        if now or clock.monotonic() - self._written >= self._interval:
            self.flush()


def open_tracker(job: JobDirectory, writer: str, token: int, settings: Tracking) -> Tracker:
    """The tracker that a workload asks for."""
    if not settings.enabled:
        return Discard()
    return Spool(job, writer, token, experiment=settings.experiment)


def segment(folder: Path, number: int) -> Path:
    """The file with this number."""
    return folder / f"{number:08d}{_SUFFIX}"


def pending_segments(folder: Path, cursor: int) -> int:
    """How many files come after the first `cursor` ones."""
    return max(0, _newest(folder) + 1 - cursor)


def read_segment(folder: Path, number: int) -> list[Record] | None:
    """The records of one file; None where it does not exist yet. A damaged line is left out."""
    try:
        text = segment(folder, number).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return [record for line in text.splitlines() if (record := decode(line)) is not None]


def _newest(folder: Path) -> int:
    return max(_numbers(folder), default=-1)


def _numbers(folder: Path) -> Iterator[int]:
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.stem.isdigit():
            yield int(path.stem)
