"""Python's collector of cyclic garbage in a process that must answer at once: full collections when it suits."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEVER = 1_000_000
"""Collections of the middle generation before a full one."""


@contextmanager
def full_collections_by_hand() -> Iterator[None]:
    """No full collection happens by itself: the caller runs `gc.collect` now and then, between two pieces of work.

    Of ten thousand waiting jobs a full one takes some 50 ms, and by itself it falls into a decision. Young objects are
    collected as ever.
    """
    young, middle, full = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, full)
