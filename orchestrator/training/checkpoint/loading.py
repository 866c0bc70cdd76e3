"""Reading a checkpoint: is it whole, and its tensors into those of a training, however they were and are laid out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch

from orchestrator.training.checkpoint.items import read_item
from orchestrator.training.checkpoint.manifest import DTYPES, Chunk, Damaged, Manifest
from orchestrator.training.checkpoint.pieces import is_sharded
from orchestrator.training.checkpoint.place import Place

_READERS = 4


def verify(place: Place, folder: str, manifest: Manifest) -> None:
    """Compare all files with their digests.

    Raises:
        Damaged: naming the first that is absent or differs.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        for checked in [pool.submit(place.checked, f"{folder}/{n}", e) for n, e in sorted(manifest.files.items())]:
            checked.result()


def fitting(manifest: Manifest, into: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that the checkpoint cannot fill.

    Raises:
        Damaged: saying which.
    """
    for name, tensor in into.items():
        entry = manifest.tensors.get(name)
        if entry is None:
            raise Damaged(f"it has no tensor {name!r}")
        there = f"{entry.dtype} of shape {entry.shape}"
        here = f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
        if there != here:
            raise Damaged(f"the tensor {name!r} is {there} there, and {here} here")


def load(place: Place, folder: str, manifest: Manifest, into: Mapping[str, torch.Tensor]) -> None:
    """Fill tensors in place, whole ones and DTensors.

    Raises:
        Damaged: a tensor is missing or of another form, a file is gone, or holds something else.
    """
    fitting(manifest, into)
    sharded = {name: tensor for name, tensor in into.items() if is_sharded(tensor)}
    fill_whole(place, folder, manifest, {n: t for n, t in into.items() if n not in sharded})
    if sharded:
        from orchestrator.training.checkpoint.resharding import fill_sharded  # 2 s of imports

        fill_sharded(place, folder, manifest, sharded)


@torch.no_grad()
def fill_whole(place: Place, folder: str, manifest: Manifest, into: Mapping[str, torch.Tensor]) -> None:
    """Fill tensors that this worker holds whole, each file opened once and read from front to end."""
    wanted: defaultdict[str, list[tuple[Chunk, torch.Tensor]]] = defaultdict(list)
    for name, target in into.items():
        for chunk in manifest.tensors[name].chunks:
            box = target.detach()
            for dim, (offset, size) in enumerate(zip(chunk.offsets, chunk.sizes, strict=True)):
                box = box.narrow(dim, offset, size)
            wanted[chunk.file].append((chunk, box))
    for file, boxes in sorted(wanted.items()):
        with open(place.local(f"{folder}/{file}", manifest.files[file]), "rb") as opened:
            for chunk, box in sorted(boxes, key=lambda one: one[0].offset):
                box.copy_(read_item(opened, chunk, box.dtype))


def empty(manifest: Manifest, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Tensors on the CPU for `load` to fill."""
    entries = {name: manifest.tensors[name] for name in names}
    return {name: torch.empty(entry.shape, dtype=DTYPES[entry.dtype]) for name, entry in entries.items()}
