"""The local engine's own list: which allocations it was asked for, and where their run directories lie."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.files import create_exclusive, read_json, write_json
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.allocations import AllocationFiles, is_safe_name
from orchestrator.rundir.layout import RunDirectory

KEPT = 1000
"""How many allocations that are over can still be found: the newest."""


@dataclass(frozen=True)
class Record:
    """One allocation that the engine was asked for.

    Attributes:
        allocation: `<run>.<n>`.
        directory: its run directory.
        spawned: the process that was started for it; None until that is known.
    """

    allocation: str
    directory: Path
    spawned: ProcessIdentity | None = None

    @property
    def files(self) -> AllocationFiles:
        """Its files in the run directory."""
        return AllocationFiles(RunDirectory(self.directory), self.allocation)


class Records:
    """The records as files: `<folder>/<allocation>.json`, moved to `<folder>/ended/` when it is over.

    Args:
        folder: where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = folder / "ended"

    def create(self, allocation: str, directory: Path) -> Record:
        """Write an allocation down before anything is started for it; the existing record where there is one."""
        self._ended.mkdir(parents=True, exist_ok=True)
        existing = self.find(allocation)
        if existing is None:
            document = {"directory": str(directory), "spawned": None}
            create_exclusive(self._path(allocation), json.dumps(document).encode())
            existing = self.find(allocation)
        assert existing is not None
        return existing

    def set_spawned(self, record: Record, spawned: ProcessIdentity) -> None:
        """Note the process that was started."""
        document = {"directory": str(record.directory), "spawned": spawned.to_json()}
        write_json(self._path(record.allocation), document)

    def find(self, allocation: str) -> Record | None:
        """A record, of an allocation that is over too; None where nothing was ever asked."""
        if not is_safe_name(allocation):
            return None
        document = read_json(self._path(allocation)) or read_json(self._ended / f"{allocation}.json")
        if document is None:
            return None
        spawned = document["spawned"]
        return Record(allocation, Path(document["directory"]), spawned and ProcessIdentity.from_json(spawned))

    def set_ended(self, allocation: str) -> None:
        """Put a record away; it can still be found until many others have ended after it."""
        away = self._ended / f"{allocation}.json"
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path(allocation), away)
            os.utime(away)  # from now on its time says when it ended
            self._prune()

    def current(self) -> list[str]:
        """Allocations that were not put away."""
        if not self._folder.is_dir():
            return []
        return sorted(p.stem for p in self._folder.glob("*.json") if is_safe_name(p.stem))

    def _prune(self) -> None:
        """Forget the oldest of those that are over; in batches, so that most calls only count them."""
        names = os.listdir(self._ended)
        if len(names) > KEPT + KEPT // 10:
            paths = sorted((self._ended / name for name in names), key=lambda path: path.stat().st_mtime_ns)
            for path in paths[:-KEPT]:
                path.unlink(missing_ok=True)

    def _path(self, allocation: str) -> Path:
        return self._folder / f"{allocation}.json"
