"""The page cache: files are forced out of it before a cold round, and it is checked that they went."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

_MOST_CHECKED = 200


def drop(folder: Path) -> None:
    """Drop all files below `folder`, which have been written back (`os.sync`) and which nobody has mapped."""
    for path in _files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def resident(folder: Path) -> float:
    """The part of the pages below `folder` that are in the page cache, from up to 200 of its files."""
    files = [path for path in _files(folder) if path.stat().st_size]
    counts = [_pages(path) for path in files[:: 1 + len(files) // _MOST_CHECKED]]
    return sum(there for there, _ in counts) / max(1, sum(pages for _, pages in counts))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _pages(path: Path) -> tuple[int, int]:
    """How many pages of a file are in memory, and how many it has."""
    library = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:
        pages = -(-len(content) // mmap.PAGESIZE)
        found = (ctypes.c_ubyte * pages)()
        first = ctypes.c_char.from_buffer(content)
        failed = library.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(content)), found)
        del first  # the map cannot be closed while something points into it
        if failed:
            raise OSError(ctypes.get_errno(), f"mincore of {path}")
        return sum(one & 1 for one in found), pages
