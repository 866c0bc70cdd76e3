"""Where checkpoints lie, as both kinds of place offer it: names with slashes, small documents, large files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.training.checkpoint.items import HashingFile
from orchestrator.training.checkpoint.manifest import FileEntry

Fill = Callable[[HashingFile], None]
"""Writes a file from its beginning to its end."""


class Place(Protocol):
    """A folder, or a prefix in an object store. Names are relative to it: `samples-…/manifest.json`."""

    def where(self, name: str) -> Path | str:
        """The path or the URL of a name, for people and for whoever is handed it."""
        ...

    def names(self) -> list[str]:
        """All that lies under `samples-…`, in order."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def read(self, name: str) -> bytes | None:
        """A small document; None where there is none."""
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Write a small document whole, durably, in the place of the one before."""
        ...

    def put(self, name: str, fill: Fill) -> FileEntry:
        """Write a large file, durably; its name is used once only."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Delete files, and folders that are empty then; what is gone already is no error."""
        ...

    def checked(self, name: str, entry: FileEntry) -> Path:
        """A file that can be opened here, every byte of it compared with its digest; there until `release`.

        Raises:
            Damaged: it is missing or differs.
        """
        ...

    def local(self, name: str, entry: FileEntry) -> Path:
        """The same of a file that was found whole before: compared only where it has to be fetched.

        Raises:
            Damaged: it is missing, or what came differs.
        """
        ...

    def release(self) -> None:
        """Whatever was fetched is not needed any more."""
        ...

    @property
    def pause(self) -> float:
        """Seconds between two looks at it."""
        ...
