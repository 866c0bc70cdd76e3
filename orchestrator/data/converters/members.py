"""The members of a tar by its headers alone: what is called how, and where its bytes lie in the file."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.data.converters.listing import Listing

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name (never written anywhere), and where its content starts and how long it is, in bytes."""

    name: str
    offset: int
    size: int


def is_compressed(path: Path) -> bool:
    """Whether a file is gzip, bzip2, xz or zstd."""
    with path.open("rb") as file:
        return file.read(6).startswith(_COMPRESSED)


def members(path: Path, title: str, listing: Listing) -> Iterator[Member]:
    """All regular files of a tar that are whole, in order; a truncated or damaged rest is listed as skipped.

    Links, devices and sparse files hold no bytes of their own in the tar and are listed too.
    """
    size = path.stat().st_size
    if not size:
        listing.add(title, "the file is empty")
        return
    try:
        with tarfile.open(path, "r:") as archive:
            while (entry := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # else it keeps the headers of a million members
                if entry.isdir():
                    continue
                if not entry.isreg() or entry.issparse():
                    listing.add(f"{title}: {entry.name}", "a link, a device or a sparse file")
                elif entry.offset_data + entry.size > size:
                    listing.add(f"{title}: {entry.name}", "truncated: the tar ends before it does")
                else:
                    yield Member(entry.name, entry.offset_data, entry.size)
            if not _ends(path, archive.offset):
                listing.add(title, "truncated or damaged: it has no end mark after its last whole member")
    except (tarfile.TarError, OSError, ValueError) as error:
        listing.add(title, f"truncated or damaged: {error}")


def _ends(path: Path, offset: int) -> bool:
    """Whether the block of zeros that ends a tar is where the headers end; tarfile takes any other end for one too."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
