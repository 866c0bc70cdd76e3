"""What of a split was found damaged while it was read: kept, written to the quarantine, and refused or skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from orchestrator.base.errors import ShardCorrupt
from orchestrator.data.arrays import Int64s
from orchestrator.data.catalog import Catalog, RowRange
from orchestrator.data.quarantine import Quarantine

OnCorrupt = Literal["fail", "skip"]

_WHAT = "has records with a wrong checksum"


class Damage:
    """The damage of one split, as one process has found it.

    Attributes:
        rows: the corrupt rows that were asked for and left out.
        lost: whole shards that cannot be read, by number over the whole dataset, and the rows they hold.
    """

    def __init__(self, catalog: Catalog, on_corrupt: OnCorrupt) -> None:
        self.rows: set[int] = set()
        self.lost: dict[int, RowRange] = {}
        self._catalog = catalog
        self._quarantine = Quarantine.of(catalog)
        self._skip = on_corrupt == "skip"

    def lose(self, shard: int, error: ShardCorrupt) -> None:
        """A whole shard cannot be read.

        Raises:
            ShardCorrupt: under `fail`.
        """
        path = self._quarantine.add(shard, error.message)
        if not self._skip:
            raise ShardCorrupt(f"{error.message}{_note(path)}", hint=error.hint, lasting=error.lasting) from error
        self.lost[shard] = self._catalog.rows(shard)

    def found(self, rows: Int64s, shards: Int64s) -> None:
        """Rows (n,) of the split, in shards (n,), have wrong checksums.

        Raises:
            ShardCorrupt: under `fail`; it names the rows of the first shard.
        """
        new = np.array([row not in self.rows for row in rows.tolist()], dtype=bool)
        noted = {
            shard: self._quarantine.add(shard, _WHAT, np.unique(rows[(shards == shard) & new]))
            for shard in np.unique(shards[new]).tolist()
        }
        if not self._skip:
            first = int(shards[0])
            raise self._catalog.corrupt(first, _WHAT, rows[shards == first], note=_note(noted.get(first)))
        self.rows.update(rows.tolist())

    def refuse(self, row: int, shard: int) -> ShardCorrupt:
        """The error for one row that was asked for and is damaged."""
        if shard in self.lost:
            return self._catalog.corrupt(shard, "cannot be read")
        return self._catalog.corrupt(shard, _WHAT, np.array([row], dtype=np.int64))


def _note(path: Path | None) -> str:
    return "" if path is None else f"; written down in {path}"
