"""The members of a tar by its headers alone: what is called how, and where its bytes lie in the file."""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.data.converters.listing import Listing

_BLOCK = tarfile.BLOCKSIZE
_HARMLESS = {b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname", b"comment"}
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

    Links, devices and sparse files hold no bytes of their own in the tar and are listed too. Plain headers are read
    here, ten times as fast as tarfile does; all others are left to tarfile.
    """
    size = path.stat().st_size
    if not size:
        listing.add(title, "the file is empty")
        return
    try:
        with tarfile.open(path, "r:") as archive, path.open("rb") as file:
            for member, regular in _headers(archive, file.fileno()):
                if not regular:
                    listing.add(f"{title}: {member.name}", "a link, a device or a sparse file")
                elif member.offset + member.size > size:
                    listing.add(f"{title}: {member.name}", "truncated: the tar ends before it does")
                else:
                    yield member
            if not _ends(path, archive.offset):
                listing.add(title, "truncated or damaged: it has no end mark after its last whole member")
    except (tarfile.TarError, OSError, ValueError, RecursionError) as error:
        listing.add(title, f"truncated or damaged: {error}")


def _headers(archive: tarfile.TarFile, handle: int) -> Iterator[tuple[Member, bool]]:
    """Every member but folders, and whether it is a regular file; `archive.offset` is left where headers end."""
    archive.firstmember = None  # type: ignore[attr-defined]  # read when it was opened; we start at the front again
    offset = 0
    while True:
        block = os.pread(handle, _BLOCK, offset)
        if (length := _harmless_extension(block, handle, offset)) is not None:
            offset += _BLOCK + length
        elif (plain := _plain(block, offset)) is not None:
            yield plain, True
            offset = plain.offset + _padded(plain.size)
        else:
            archive.offset = offset
            archive.fileobj.seek(offset)  # tarfile takes another place for the end where it should read at 0
            entry = archive.next()
            archive.members = []  # type: ignore[attr-defined]  # else it keeps all headers
            if entry is None:
                return
            if entry.size < 0 or archive.offset <= offset:
                raise tarfile.ReadError("a member of negative size")
            if not entry.isdir():
                yield Member(entry.name, entry.offset_data, entry.size), entry.isreg() and not entry.issparse()
            offset = archive.offset


def _plain(block: bytes, offset: int) -> Member | None:
    """The member of a POSIX header of a regular file with a name of ASCII characters; None where it is another."""
    if block[156:157] != b"0" or not block[:100].isascii() or not block[345:500].isascii():
        return None
    size = _size(block)
    if size is None:
        return None
    name, prefix = (part.partition(b"\0")[0].decode() for part in (block[:100], block[345:500]))
    return Member(f"{prefix}/{name}" if prefix else name, offset + _BLOCK, size)


def _harmless_extension(block: bytes, handle: int, offset: int) -> int | None:
    """Padded bytes of a pax header that says nothing of the next member's name or content; None where it is none."""
    if block[156:157] != b"x":
        return None
    size = _size(block)
    if size is None or size > _BLOCK:
        return None
    keys = re.findall(rb"(?:^|\n)\d+ ([^=]+)=", os.pread(handle, size, offset + _BLOCK))
    return _padded(size) if keys and set(keys) <= _HARMLESS else None


def _size(block: bytes) -> int | None:
    """The size that a POSIX header states, its checksum verified; None where it is no such header."""
    if len(block) != _BLOCK or block[257:265] != b"ustar\x0000":
        return None
    try:
        size, checksum = int(block[124:136].strip(b" \0"), 8), int(block[148:156].strip(b" \0"), 8)
    except ValueError:
        return None
    stated = checksum - 8 * ord(" ") + sum(block[148:156])
    # The low half of Adler-32 is one more than the sum of the bytes, modulo 65521, and far faster than sum().
    whole = zlib.adler32(block) & 0xFFFF == (stated + 1) % 65521
    return size if whole and size >= 0 else None


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _ends(path: Path, offset: int) -> bool:
    """Whether the block of zeros that ends a tar is where the headers end; tarfile takes any other end for one too."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(_BLOCK) == bytes(_BLOCK)
