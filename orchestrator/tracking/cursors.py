"""How far each job's spool has been sent: one small file a job, replaced atomically."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.base.files import read_json, write_json
from orchestrator.rundir.layout import JobDirectory
from orchestrator.tracking.spool import pending_segments

_FILE = "forwarded.json"


@dataclass(frozen=True)
class Cursors:
    """How many files of each writer were sent, and where to.

    A job whose spool was only partly sent to another store is sent whole to the new one: half a run helps nobody.
    """

    uri: str
    writers: tuple[tuple[str, int], ...] = ()

    def of(self, writer: str) -> int:
        """Files of this writer that were sent."""
        return dict(self.writers).get(writer, 0)

    def advanced(self, writer: str, count: int) -> Cursors:
        """The same, with `count` files of `writer` sent."""
        return replace(self, writers=tuple(sorted({**dict(self.writers), writer: count}.items())))


def load_cursors(job: JobDirectory, uri: str) -> Cursors:
    """How far the job has been sent to `uri`."""
    document = read_json(job.tracking / _FILE) or {}
    saved = document.get("writers", {})
    cursors = Cursors(uri, tuple(sorted((str(name), int(count)) for name, count in saved.items())))
    if document.get("uri", uri) == uri or not pending(job, cursors):
        return cursors
    return Cursors(uri)


def save_cursors(job: JobDirectory, cursors: Cursors) -> None:
    """Write down how far the job has been sent."""
    write_json(job.tracking / _FILE, {"uri": cursors.uri, "writers": dict(cursors.writers)})


def writers(job: JobDirectory) -> list[Path]:
    """The folders of the job's writers."""
    if not job.tracking.is_dir():
        return []
    return sorted(path for path in job.tracking.iterdir() if path.is_dir())


def pending(job: JobDirectory, cursors: Cursors) -> int:
    """How many files wait to be sent."""
    return sum(pending_segments(folder, cursors.of(folder.name)) for folder in writers(job))


def waiting(runs_root: Path, uri: str) -> int:
    """How many files of all jobs wait to be sent to `uri`."""
    return sum(pending(job, load_cursors(job, uri)) for job in all_jobs(runs_root))


def all_jobs(runs_root: Path) -> Iterator[JobDirectory]:
    """Every job under a runs root."""
    folder = runs_root / "jobs"
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            yield JobDirectory(path)
