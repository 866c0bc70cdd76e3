"""Memory that a batch is made in by one process and used in by another, without a copy or a name to clean up."""

from __future__ import annotations

import math
import mmap
import os
from typing import Any

import numpy as np

from orchestrator.data.arrays import AnyArray


class Slot:
    """Anonymous shared memory of any size; it is gone with the last process that has it, however that one ends.

    Attributes:
        size: bytes.

    Args:
        memory: the descriptor of another process's slot; by default a new one.
    """

    def __init__(self, memory: int | None = None) -> None:
        self.memory = os.memfd_create("batch") if memory is None else memory
        self.size = 0
        self._map: mmap.mmap | None = None

    def __del__(self) -> None:
        os.close(self.memory)

    def fit(self, size: int) -> None:
        """Make it at least `size` bytes large. Arrays that were given before stay as they are."""
        if size > self.size:
            if os.fstat(self.memory).st_size < size:
                os.ftruncate(self.memory, size)
            self._map = mmap.mmap(self.memory, size)
            self.size = size

    def owner(self, items: int, dtype: Any, offset: int = 0) -> AnyArray:
        """A new array (items,) on this memory from `offset` on; all views of it keep it, and no other one, alive."""
        assert self._map is not None, "fit comes first"
        return np.frombuffer(self._map, np.dtype(dtype), count=items, offset=offset)

    def array(self, shape: tuple[int, ...], dtype: Any, offset: int = 0) -> AnyArray:
        """An array on this memory from `offset` on."""
        return self.owner(math.prod(shape), dtype, offset).reshape(shape)
