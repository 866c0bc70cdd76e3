"""The manifest of a checkpoint: what it stands after, its files with their digests, and where in them each tensor is.

It is what a reader trusts, so everything in it is checked: it may have been damaged, or written by somebody else.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

FORMAT = 2
MANIFEST = "manifest.json"
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
_PART = re.compile(r"[0-9a-f]{16}/part-\d{1,6}\.distcp")
_ATTEMPT = re.compile(r"[0-9a-f]{16}")


class Damaged(ValueError):
    """The manifest, or a file that it names, is not as it was written."""


@dataclass(frozen=True)
class FileEntry:
    """A file as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Chunk:
    """A box of a tensor, and where it lies.

    Attributes:
        offsets: of the box in the tensor.
        sizes: of the box.
        file: its name in the checkpoint's folder.
        offset: of its bytes there.
        length: of them.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    offset: int
    length: int


@dataclass(frozen=True)
class TensorEntry:
    """A tensor, whole or in boxes."""

    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class Manifest:
    """All of a checkpoint but the values of its tensors.

    Attributes:
        samples: training samples that it stands after.
        attempt: names the folder of its files; no two attempts share one.
        epoch: complete epochs, where it stands at the end of one.
        measures: what was measured there.
        meta: JSON values of whoever saved it.
        files: by name.
        tensors: by name.
    """

    samples: int
    attempt: str
    epoch: int | None
    measures: Mapping[str, float]
    meta: Mapping[str, Any]
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    tensors: Mapping[str, TensorEntry] = field(default_factory=dict)

    def dump(self) -> bytes:
        """As bytes, with a digest of their own. Numbers that are not finite stay what they are: Python reads them."""
        content = json.loads(json.dumps(asdict(self) | {"format": FORMAT}))  # as a reader will see it
        return json.dumps({"content": content, "sha256": _digest(content)}, indent=1, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that can be loaded.

    Attributes:
        path: its folder or URL.
        manifest: what it holds.
    """

    path: Path | str
    manifest: Manifest

    @property
    def samples(self) -> int:
        """Training samples that it stands after."""
        return self.manifest.samples

    @property
    def meta(self) -> Mapping[str, Any]:
        """JSON values of whoever saved it."""
        return self.manifest.meta


def parse(document: bytes) -> Manifest:
    """The inverse of `Manifest.dump`.

    Raises:
        Damaged: anything about it is wrong.
    """
    try:
        whole = json.loads(document)
        content = whole["content"]
        if whole["sha256"] != _digest(content):
            raise Damaged("it differs from its checksum")
        if content.pop("format") != FORMAT:
            raise Damaged("it is of another format")
        manifest = _manifest(content)
        check(manifest)
    except Damaged:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"it cannot be read ({type(error).__name__})") from error
    return manifest


def read_tensors(document: Mapping[str, Any]) -> dict[str, TensorEntry]:
    """Tensors from JSON values, unchecked."""
    return {str(name): _tensor(entry) for name, entry in document.items()}


def check(manifest: Manifest) -> None:
    """Refuse what does not fit together.

    Raises:
        Damaged: saying what.
    """
    if not _ATTEMPT.fullmatch(manifest.attempt) or manifest.samples < 0:
        raise Damaged("its head is wrong")
    for name, entry in manifest.files.items():  # a name from a file becomes a path only if it has this form
        if not _PART.fullmatch(name) or not name.startswith(manifest.attempt) or entry.bytes < 0:
            raise Damaged("it names a file that is none of a checkpoint")
    for name, tensor in manifest.tensors.items():
        _check_tensor(name, tensor, manifest.files)


def _check_tensor(name: str, tensor: TensorEntry, files: Mapping[str, FileEntry]) -> None:
    if tensor.dtype not in DTYPES or any(size < 0 for size in tensor.shape):
        raise Damaged(f"the tensor {name!r} is of no known kind")
    for chunk in tensor.chunks:
        volume = math.prod(chunk.sizes) * DTYPES[tensor.dtype].itemsize
        inside = len(chunk.offsets) == len(chunk.sizes) == len(tensor.shape) and all(
            min(offset, size) >= 0 and offset + size <= whole
            for offset, size, whole in zip(chunk.offsets, chunk.sizes, tensor.shape, strict=True)
        )
        there = chunk.file in files and chunk.offset >= 0 and chunk.offset + chunk.length <= files[chunk.file].bytes
        if not inside or not there or chunk.length < volume:
            raise Damaged(f"a part of the tensor {name!r} lies outside of it or of its file")
    if sum(math.prod(chunk.sizes) for chunk in tensor.chunks) != math.prod(tensor.shape):
        raise Damaged(f"the parts of the tensor {name!r} do not make the whole")


def _manifest(content: Mapping[str, Any]) -> Manifest:
    epoch = content["epoch"]
    return Manifest(
        samples=int(content["samples"]),
        attempt=str(content["attempt"]),
        epoch=None if epoch is None else int(epoch),
        measures={str(name): float(value) for name, value in content["measures"].items()},
        meta=dict(content["meta"]),
        files={str(name): FileEntry(int(e["bytes"]), str(e["sha256"])) for name, e in content["files"].items()},
        tensors=read_tensors(content["tensors"]),
    )


def _tensor(entry: Mapping[str, Any]) -> TensorEntry:
    chunks = tuple(
        Chunk(_numbers(c["offsets"]), _numbers(c["sizes"]), str(c["file"]), int(c["offset"]), int(c["length"]))
        for c in entry["chunks"]
    )
    return TensorEntry(str(entry["dtype"]), _numbers(entry["shape"]), chunks)


def _numbers(values: list[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
