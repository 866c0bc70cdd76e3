"""Checkpoints in a local or shared folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.files import sync_folder, write_atomic
from orchestrator.training.checkpoint.items import HashingFile, file_entry
from orchestrator.training.checkpoint.manifest import Damaged, FileEntry
from orchestrator.training.checkpoint.place import Fill


@dataclass(frozen=True)
class Folder:
    """A `Place` in a file system.

    Attributes:
        root: the folder; made by the first write.
    """

    root: Path
    pause: float = 0.01

    def where(self, name: str) -> Path:
        """The path."""
        return self.root / name

    def names(self) -> list[str]:
        """Files under `samples-…`, and folders without any, with a slash at the end; links are not followed."""
        found = []
        for top in self.root.glob("samples-*"):
            for folder, inner, files in os.walk(top):
                where = Path(folder).relative_to(self.root)
                found += [f"{where}/{name}" for name in (files if files or inner else ("",))]
        return sorted(found)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).is_file()

    def read(self, name: str) -> bytes | None:
        """A small document."""
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def replace(self, name: str, content: bytes) -> None:
        """Write through a temporary file and a rename."""
        path = self.root / name
        self._make(path.parent)
        write_atomic(path, content)

    def put(self, name: str, fill: Fill) -> FileEntry:
        """Write a file in place: nobody reads it before a manifest names it."""
        path = self.root / name
        self._make(path.parent)
        with open(path, "xb") as raw:
            file = HashingFile(raw)
            fill(file)
            raw.flush()
            os.fsync(raw.fileno())
        sync_folder(path.parent)
        return file.entry()

    def delete(self, names: Sequence[str]) -> None:
        """Delete files, then the folders that are empty."""
        for name in names:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if not name.endswith("/"):
                    (self.root / name).unlink()
        for folder in {name.rpartition("/")[0] for name in names}:
            self._remove_empty(self.root / folder)

    def checked(self, name: str, entry: FileEntry) -> Path:
        """The file itself; one of another size is not read."""
        path = self.local(name, entry)
        if path.stat().st_size != entry.bytes or file_entry(path) != entry:
            raise Damaged(f"{path.name} differs from its checksum")
        return path

    def local(self, name: str, entry: FileEntry) -> Path:
        """The file itself."""
        path = self.root / name
        if not path.is_file():
            raise Damaged(f"{path.name} is missing")
        return path

    def release(self) -> None:
        """Nothing was fetched."""

    def _remove_empty(self, folder: Path) -> None:
        """Remove a folder and those above it, as far as they are empty."""
        while folder != self.root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:  # not empty
                return
            folder = folder.parent

    def _make(self, folder: Path) -> None:
        """Make a folder so that it survives a power cut; another worker may be removing an empty one above it."""
        while not folder.is_dir():
            self._make(folder.parent)
            with contextlib.suppress(FileNotFoundError):
                folder.mkdir(exist_ok=True)
                sync_folder(folder.parent)
