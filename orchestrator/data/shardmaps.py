"""Memory maps of the shards of a dataset: made when first needed, checked for size, bounded in number."""

from __future__ import annotations

import mmap
import os
import resource
from collections import OrderedDict
from pathlib import Path

from orchestrator.data.catalog import Catalog
from orchestrator.data.files import ShardFiles

_MOST_MAPS = 4096
_TRIES = 16


class ShardMaps:
    """Views of whole shards, by number. The least recently made map is dropped when there are too many.

    A dropped map stays alive for as long as a view of it does. A map holds a file descriptor, so the bound is half of
    what this process may have open. Maps of shards that the node's cache has evicted are dropped when the next one is
    made, so that their bytes become free on the disk.
    """

    def __init__(self, files: ShardFiles, catalog: Catalog) -> None:
        self._files = files
        self._catalog = catalog
        self._views: OrderedDict[int, memoryview] = OrderedDict()
        self._opened: dict[int, tuple[Path, int]] = {}
        self._most = max(16, min(_MOST_MAPS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))

    def __getitem__(self, shard: int) -> memoryview:
        view = self._views.get(shard)
        return self._map(shard) if view is None else view

    def __contains__(self, shard: int) -> bool:
        return shard in self._views

    def drop(self, shard: int) -> None:
        """Forget a map, so that the shard's file is opened again."""
        self._views.pop(shard, None)
        self._opened.pop(shard, None)

    def _map(self, shard: int) -> memoryview:
        if self._files.remote:
            self._drop_evicted()
        if len(self._views) >= self._most:
            self.drop(next(iter(self._views)))
        view = self._open(shard)
        self._views[shard] = view
        return view

    def _open(self, shard: int) -> memoryview:
        size = self._catalog.size(shard)
        for _ in range(_TRIES):
            path = self._files.shard(shard)
            try:
                with path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    if status.st_size == size:
                        self._opened[shard] = path, status.st_ino
                        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except FileNotFoundError:  # another process evicted it since; it is fetched again
                continue
        raise self._catalog.corrupt(shard, "vanishes or changes as often as it is opened")

    def _drop_evicted(self) -> None:
        for shard, (path, inode) in list(self._opened.items()):
            try:
                gone = os.stat(path).st_ino != inode
            except FileNotFoundError:
                gone = True
            if gone:
                self.drop(shard)
