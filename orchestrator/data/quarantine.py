"""A durable list of damaged rows and shards: `<state_dir>/quarantine/<version>/<shard>.json`.

It is a record and no gate: a shard that is in it is read as any other, so that a repaired file is used at once, and
what is still damaged is found again by its checksum. `orchestrator data verify` writes the entry of a shard that it
finds damaged, and removes that of one that it finds whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.base.clock import Clock, SystemClock
from orchestrator.base.files import read_json, write_json
from orchestrator.base.paths import state_dir
from orchestrator.data.arrays import Int64s
from orchestrator.data.catalog import Catalog

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Quarantine:
    """The entries of one version of one dataset.

    Attributes:
        folder: where they lie.
        catalog: the dataset's shards.
        clock: for `first_seen`.
    """

    folder: Path
    catalog: Catalog
    clock: Clock

    @classmethod
    def of(cls, catalog: Catalog) -> Quarantine:
        """The one in the user's state directory."""
        return cls(state_dir() / "quarantine" / catalog.header.version, catalog, SystemClock())

    def path(self, shard: int) -> Path:
        """The file of a shard's entry, whether it is there or not."""
        return self.folder / f"{self.catalog.name(shard)}.json"

    def add(self, shard: int, what: str, rows: Int64s | None = None) -> Path | None:
        """Write down that rows of a shard (none: all of them) are damaged; known rows are kept beside the new ones.

        Args:
            shard: its number over the whole dataset.
            what: what was found, in words.
            rows: numbers within the split.

        Returns:
            The file; None where the state directory cannot be written, which is logged and stops nothing.
        """
        path = self.path(shard)
        try:
            with self._locked():
                write_json(path, self._entry(shard, what, rows, read_json(path) or {}))
        except OSError as error:
            _log.warning("cannot write %s: %s", path, error.strerror)
            return None
        return path

    def release(self, shard: int) -> None:
        """Remove a shard's entry, if it is of this copy of the dataset: it was found whole."""
        path = self.path(shard)
        if not path.exists():
            return
        with contextlib.suppress(OSError), self._locked():
            if (read_json(path) or {}).get("location") == self.catalog.location:
                path.unlink(missing_ok=True)

    def entries(self) -> list[dict[str, Any]]:
        """All that is in quarantine of this version, by shard."""
        found = (read_json(path) for path in sorted(self.folder.glob("*.json")))
        return [entry for entry in found if entry is not None]

    def _entry(self, shard: int, what: str, rows: Int64s | None, known: dict[str, Any]) -> dict[str, Any]:
        held = self.catalog.rows(shard)
        ranges = [[held.first, held.last]] if rows is None else _ranges(rows.tolist(), known.get("rows", []))
        now = datetime.fromtimestamp(self.clock.now(), UTC).isoformat(timespec="seconds")
        return {
            "dataset": self.catalog.header.description.name,
            "version": self.catalog.header.version,
            "location": self.catalog.location,
            "shard": self.catalog.name(shard),
            "split": held.split,
            "rows": ranges,
            "what": what,
            "first_seen": known.get("first_seen", now),
            "last_seen": now,
        }

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a fork has inherited the descriptor


def _ranges(rows: list[int], known: list[list[int]]) -> list[list[int]]:
    """Rows and known ranges as sorted ranges, first and last included."""
    merged: list[list[int]] = []
    for first, last in sorted([*([row, row] for row in rows), *known]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged
