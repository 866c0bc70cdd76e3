"""Checkpoints on disk: written whole or not at all, checked when read, the last few kept, fenced writers refused.

One checkpoint is a folder `samples-<n>` with `state.pt` (tensors), `meta.json` (everything else) and `manifest.json`
(size and SHA-256 of both), which is written last. The folder gets its name only when all three are on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from orchestrator.base.errors import DataError
from orchestrator.base.files import read_json, sync_folder, write_json

_PREFIX = "samples-"
_STATE, _META, _MANIFEST = "state.pt", "meta.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """What was read.

    Attributes:
        path: the folder.
        tensors: nested dictionaries and lists of tensors and numbers, on the CPU.
        meta: JSON values.
    """

    path: Path
    tensors: dict[str, Any]
    meta: dict[str, Any]

    @property
    def samples(self) -> int:
        """Training samples that it stands after."""
        return int(self.path.name.removeprefix(_PREFIX))


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints of one training.

    Attributes:
        root: their folder.
        keep: how many are kept.
        fence: called before every write; raises `Fenced` where a newer run owns the folder.
    """

    root: Path
    keep: int = 2
    fence: Callable[[], None] = field(default=lambda: None)

    def save(self, samples: int, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
        """Write the checkpoint after `samples` samples; durable when this returns.

        Raises:
            Fenced: a newer run owns the folder.
        """
        self.fence()
        self.root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.root))
        try:
            with open(temporary / _STATE, "wb") as file:
                torch.save(dict(tensors), file)
                file.flush()
                os.fsync(file.fileno())
            write_json(temporary / _META, meta)
            write_json(temporary / _MANIFEST, {"files": {name: _digest(temporary / name) for name in (_STATE, _META)}})
            self.fence()
            path = self._publish(temporary, self._folder(samples))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._tidy(path)
        return path

    def newest(self, passed_over: Callable[[str], None] = lambda reason: None) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none.

        Args:
            passed_over: told of each newer one that cannot be used, and why.
        """
        for path in self._folders():
            reason = _damage(path)
            if reason is None:
                return _load(path)
            passed_over(f"the checkpoint {path} is passed over: {reason}")
        return None

    def read(self, samples: int) -> Checkpoint:
        """The checkpoint after `samples` samples, which another worker found whole."""
        return _load(self._folder(samples))

    def read_whole(self, samples: int) -> Checkpoint:
        """The checkpoint after `samples` samples and no other.

        Raises:
            DataError: it is absent or damaged.
        """
        path = self._folder(samples)
        reason = _damage(path)
        if reason is not None:
            raise DataError(
                f"the checkpoint {path} cannot be used: {reason}",
                hint="train it again from the one before: for a trial, remove its record under trials, then retry",
            )
        return _load(path)

    def _folder(self, samples: int) -> Path:
        return self.root / f"{_PREFIX}{samples:015d}"

    def _folders(self) -> list[Path]:
        """From the newest to the oldest."""
        return sorted(self.root.glob(_PREFIX + "*"), reverse=True) if self.root.is_dir() else []

    def _publish(self, temporary: Path, path: Path) -> Path:
        if path.exists():  # written by an earlier run that went further than what this one resumed from
            os.rename(path, Path(tempfile.mkdtemp(prefix=".old-", dir=self.root)) / path.name)
        os.rename(temporary, path)
        sync_folder(self.root)
        return path

    def _tidy(self, saved: Path) -> None:
        """Remove what is too old, and what lies beyond `saved`: that is damaged, or of a history that was left."""
        beyond = [path for path in self._folders() if path > saved]
        for path in [*beyond, *self._folders()[len(beyond) + self.keep :], *self._leftovers()]:
            shutil.rmtree(path, ignore_errors=True)

    def _leftovers(self) -> Iterator[Path]:
        yield from self.root.glob(".writing-*")
        yield from self.root.glob(".old-*")


def _load(path: Path) -> Checkpoint:
    try:
        tensors = torch.load(path / _STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no public name for what it refuses
        raise DataError(
            f"{path / _STATE} holds something other than tensors; nothing of it was executed",
            hint="remove the folder: the checkpoint before it is used then",
        ) from error
    return Checkpoint(path, tensors, json.loads((path / _META).read_bytes()))


def _damage(path: Path) -> str | None:
    """Why a checkpoint cannot be used; None where it is whole."""
    if not (path / _MANIFEST).is_file():
        return "it has no manifest: it was not finished"
    files = (read_json(path / _MANIFEST) or {}).get("files")
    if not isinstance(files, dict) or files.keys() != {_STATE, _META}:
        return f"{_MANIFEST} is damaged"
    for name in (_STATE, _META):  # never a name from the file
        if not (path / name).is_file():
            return f"{name} is missing"
        if _digest(path / name) != files[name]:
            return f"{name} differs from its checksum"
    return None


def _digest(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
