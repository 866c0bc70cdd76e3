"""Memory maps of the shards of a dataset: made when first needed, checked for size, bounded in number."""

from __future__ import annotations

import mmap
import resource
from collections import OrderedDict

from orchestrator.data.index import DatasetIndex

_MOST_MAPS = 4096


class ShardMaps:
    """Views of whole shards, by number. The least recently made map is dropped when there are too many.

    A dropped map stays alive for as long as a view of it does. A map holds a file descriptor, so the bound is half of
    what this process may have open.
    """

    def __init__(self, index: DatasetIndex) -> None:
        self._index = index
        self._views: OrderedDict[int, memoryview] = OrderedDict()
        self._most = max(16, min(_MOST_MAPS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))

    def __getitem__(self, shard: int) -> memoryview:
        view = self._views.get(shard)
        return self._map(shard) if view is None else view

    def _map(self, shard: int) -> memoryview:
        path = self._index.check_size(shard)
        if len(self._views) >= self._most:
            self._views.popitem(last=False)
        with path.open("rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._views[shard] = view
        return view
