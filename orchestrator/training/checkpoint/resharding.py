"""Shards of another world size: torch.distributed.checkpoint plans which boxes of which files a worker reads.

Its own reader would load `.metadata`, a pickle; here the same is made of the manifest, and items are read
as everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import ReadItem

from orchestrator.training.checkpoint.items import read_item
from orchestrator.training.checkpoint.manifest import DTYPES, Chunk, Manifest
from orchestrator.training.checkpoint.place import Place


@torch.no_grad()
def fill_sharded(place: Place, folder: str, manifest: Manifest, into: Mapping[str, torch.Tensor]) -> None:
    """Fill this worker's shards of DTensors, reading only the files that hold something of them.

    Raises:
        Damaged: a file is gone, or holds something other than tensors of the stated forms.
    """
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    planner.set_up_planner({name: tensor for name, tensor in into.items() if _has_any(tensor)}, metadata_of(manifest))
    chunks = {(name, chunk.offsets): chunk for name, entry in manifest.tensors.items() for chunk in entry.chunks}
    wanted: defaultdict[str, list[tuple[Chunk, ReadItem]]] = defaultdict(list)
    for item in planner.create_local_plan().items:
        chunk = chunks[item.storage_index.fqn, tuple(item.storage_index.offset or ())]
        wanted[chunk.file].append((chunk, item))
    for file, items in sorted(wanted.items()):
        with open(place.local(f"{folder}/{file}", manifest.files[file]), "rb") as opened:
            for chunk, item in sorted(items, key=lambda one: one[0].offset):
                box: torch.Tensor = planner.resolve_tensor(item).detach()
                values = read_item(opened, chunk, box.dtype)
                for dim, (offset, size) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
                    values = values.narrow(dim, offset, size)
                box.copy_(values)


def metadata_of(manifest: Manifest) -> Metadata:
    """What torch.distributed.checkpoint would keep in `.metadata`, but for where the bytes lie."""
    tensors: dict[str, Any] = {}
    for name, entry in manifest.tensors.items():
        boxes = [ChunkStorageMetadata(torch.Size(c.offsets), torch.Size(c.sizes)) for c in entry.chunks]
        tensors[name] = TensorStorageMetadata(TensorProperties(DTYPES[entry.dtype]), torch.Size(entry.shape), boxes)
    return Metadata(tensors)


def _has_any(tensor: Any) -> bool:
    """Whether this worker holds something of a DTensor: of fewer rows than workers, some have none."""
    return bool(tensor.device_mesh.get_coordinate() is not None and tensor.to_local().numel())
