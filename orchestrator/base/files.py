"""Atomic files: a reader sees the old content or the new, never a part, whatever is killed when."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace `path` by `content` through a temporary file beside it.

    Args:
        path: the file; its folder must exist.
        content: the whole new content.
        mode: permission bits of the new file.
        durable: also flush the file and its folder to the disk before returning.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable:
        sync_folder(path.parent)


def create_exclusive(path: Path, content: bytes, *, mode: int = 0o644) -> bool:
    """Create `path` whole, or do nothing where it exists already.

    Returns:
        True where this call created the file.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    sync_folder(path.parent)
    return True


def write_json(path: Path, document: Mapping[str, Any], *, mode: int = 0o644, durable: bool = True) -> None:
    """Write a JSON document atomically."""
    content = json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode()
    write_atomic(path, content + b"\n", mode=mode, durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where the file is absent, half-written, or not an object."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
