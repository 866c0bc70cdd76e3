"""Reading a checkpoint: is it whole, and its tensors into those of a training, however they were and are laid out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch

from orchestrator.training.checkpoint.items import file_entry, read_item
from orchestrator.training.checkpoint.manifest import DTYPES, Chunk, Damaged, Manifest, TensorEntry
from orchestrator.training.checkpoint.pieces import is_sharded
from orchestrator.training.checkpoint.place import Place

_READERS = 4


def verify(place: Place, folder: str, manifest: Manifest, files: Iterable[str] | None = None) -> None:
    """Compare files with their digests; all of them, or those named.

    Raises:
        Damaged: naming the first that is absent or differs.
    """

    def damage(name: str) -> str:
        try:
            path = place.local(f"{folder}/{name}")
        except FileNotFoundError:
            return f"{name} is missing"
        entry = manifest.files[name]  # a file of another size is not read
        same = path.stat().st_size == entry.bytes and file_entry(path) == entry
        return "" if same else f"{name} differs from its checksum"

    with ThreadPoolExecutor(_READERS) as pool:
        for reason in pool.map(damage, sorted(manifest.files if files is None else files)):
            if reason:
                raise Damaged(reason)


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
        Damaged: a tensor is missing, of another form, or what lies there is something else.
        FileNotFoundError: a file is gone.
    """
    fitting(manifest, into)
    sharded = {name: tensor for name, tensor in into.items() if is_sharded(tensor)}
    fill_whole(place, folder, manifest.tensors, {n: t for n, t in into.items() if n not in sharded})
    if sharded:
        from orchestrator.training.checkpoint.resharding import fill_sharded  # 2 s of imports

        fill_sharded(place, folder, manifest, sharded)


@torch.no_grad()
def fill_whole(place: Place, folder: str, tensors: Mapping[str, TensorEntry], into: Mapping[str, torch.Tensor]) -> None:
    """Fill tensors that this worker holds whole, each file opened once and read from front to end."""
    wanted: defaultdict[str, list[tuple[Chunk, torch.Tensor]]] = defaultdict(list)
    for name, target in into.items():
        for chunk in tensors[name].chunks:
            box = target.detach()
            for dim, (offset, size) in enumerate(zip(chunk.offsets, chunk.sizes, strict=True)):
                box = box.narrow(dim, offset, size)
            wanted[chunk.file].append((chunk, box))
    for file, boxes in sorted(wanted.items()):
        with open(place.local(f"{folder}/{file}"), "rb") as opened:
            for chunk, box in sorted(boxes, key=lambda one: one[0].offset):
                box.copy_(read_item(opened, chunk, box.dtype))


def empty(manifest: Manifest, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Tensors on the CPU for `load` to fill."""
    entries = {name: manifest.tensors[name] for name in names}
    return {name: torch.empty(entry.shape, dtype=DTYPES[entry.dtype]) for name, entry in entries.items()}
