"""Shards of another world size: torch.distributed.checkpoint plans what a worker reads, from our manifest.

Its own reader would load `.metadata`, a pickle; this one makes the same from JSON values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from orchestrator.training.checkpoint.manifest import DTYPES, Damaged, Manifest
from orchestrator.training.checkpoint.place import Place


@torch.no_grad()
def fill_sharded(place: Place, folder: str, manifest: Manifest, into: Mapping[str, torch.Tensor]) -> None:
    """Fill this worker's shards of DTensors, reading only the files that hold something of them.

    Raises:
        Damaged: a file is gone, or holds something other than tensors of the stated forms.
    """
    wanted: dict[str, Any] = {name: tensor for name, tensor in into.items() if _has_any(tensor)}
    if not wanted:
        return
    metadata = metadata_of(manifest)
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    planner.set_up_planner(wanted, metadata)
    plan = planner.create_local_plan()
    files = {metadata.storage_data[item.storage_index].relative_path for item in plan.items}
    paths = [place.local(f"{folder}/{file}", manifest.files[file]) for file in sorted(files)]
    reader = FileSystemReader(_above(paths[0]))
    reader.set_up_storage_reader(metadata, is_coordinator=False)
    try:
        reader.read_data(plan, planner).wait()
    except Exception as error:  # torch has no public name for what it refuses
        raise Damaged("it holds something other than tensors; nothing of it was executed") from error


def metadata_of(manifest: Manifest) -> Metadata:
    """What torch.distributed.checkpoint keeps in `.metadata`."""
    tensors, storage = {}, {}
    for name, entry in manifest.tensors.items():
        boxes = [ChunkStorageMetadata(torch.Size(c.offsets), torch.Size(c.sizes)) for c in entry.chunks]
        properties = TensorProperties(dtype=DTYPES[entry.dtype])
        tensors[name] = TensorStorageMetadata(properties, torch.Size(entry.shape), boxes)
        for chunk in entry.chunks:
            storage[MetadataIndex(name, chunk.offsets)] = _StorageInfo(chunk.file, chunk.offset, chunk.length)
    return Metadata(state_dict_metadata=dict(tensors), storage_data=storage)


def _has_any(tensor: Any) -> bool:
    """Whether this worker holds something of a DTensor: of fewer rows than workers, some have none."""
    return bool(tensor.device_mesh.get_coordinate() is not None and tensor.to_local().numel())


def _above(path: Path) -> Path:
    """The checkpoint's folder: files are named by attempt and part."""
    return path.parent.parent
