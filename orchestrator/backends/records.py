"""An engine's own list of what it was asked for: one small file for each allocation, kept for a while after its end."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.base.files import create_exclusive, read_json, write_json
from orchestrator.rundir.allocations import is_safe_name

KEPT = 1000
"""How many allocations that are over can still be found: the newest."""


class RecordFiles:
    """Documents as files: `<folder>/<allocation>.json`, moved to `<folder>/ended/` when the allocation is over.

    Args:
        folder: where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = folder / "ended"

    def create(self, allocation: str, document: Mapping[str, Any]) -> bool:
        """Write an allocation down, on the disk, before anything is started; False where that was done before."""
        self._ended.mkdir(parents=True, exist_ok=True)
        return self.find(allocation) is None and create_exclusive(self._path(allocation), json.dumps(document).encode())

    def replace(self, allocation: str, document: Mapping[str, Any]) -> None:
        """Write what is known now of an allocation that is not over, on the disk."""
        write_json(self._path(allocation), document)

    def put(self, allocation: str, document: Mapping[str, Any]) -> None:
        """Write what is known now, whether it was written down before or not; it may be lost with the machine.

        One thread at a time for each allocation. This is a part of every launch, so it is done in few steps.
        """
        path, content = str(self._path(allocation)), json.dumps(document).encode()
        try:
            _replace(path, content)
        except FileNotFoundError:
            self._ended.mkdir(parents=True, exist_ok=True)
            _replace(path, content)

    def find(self, allocation: str) -> dict[str, Any] | None:
        """A document, of an allocation that is over too; None where nothing was ever asked."""
        if not is_safe_name(allocation):
            return None
        return read_json(self._path(allocation)) or read_json(self._ended / f"{allocation}.json")

    def discard(self, allocation: str) -> None:
        """Forget an allocation for which nothing was started."""
        self._path(allocation).unlink(missing_ok=True)

    def set_ended(self, allocation: str, *, kept: int = KEPT) -> None:
        """Put a document away; it can still be found until many others have ended after it."""
        away = self._ended / f"{allocation}.json"
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path(allocation), away)
            os.utime(away)  # from now on its time says when it ended
            self._prune(kept)

    def current(self) -> list[str]:
        """Allocations that were not put away."""
        if not self._folder.is_dir():
            return []
        return sorted(p.stem for p in self._folder.glob("*.json") if is_safe_name(p.stem))

    def _prune(self, kept: int) -> None:
        """Forget the oldest of those that are over; in batches, so that most calls only count them."""
        names = os.listdir(self._ended)
        if len(names) > kept + kept // 10:
            paths = sorted((self._ended / name for name in names), key=lambda path: path.stat().st_mtime_ns)
            for path in paths[:-kept]:
                path.unlink(missing_ok=True)

    def _path(self, allocation: str) -> Path:
        return self._folder / f"{allocation}.json"


def _replace(path: str, content: bytes) -> None:
    with open(f"{path}.tmp", "wb") as file:
        file.write(content)
    os.replace(f"{path}.tmp", path)
