"""WebDataset: tar files read from front to back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import webdataset

from peers.decoding import collate, decoder
from peers.inputs import Inputs
from peers.share import Epoch, Share, Work, delivered, touched

_BUFFER = 1000
_SHARD_BYTES = 64 * 2**20


def write(folder: Path, inputs: Inputs) -> None:
    """Tars of 64 MB, and of no more than an eighth of the samples, so that there are some to share out."""
    most = -(-len(inputs) // 8)
    pattern = str(folder / "part-%05d.tar")
    with webdataset.ShardWriter(pattern, maxcount=most, maxsize=_SHARD_BYTES, verbose=0) as writer:
        for number in range(len(inputs)):
            record, label = inputs[number]
            writer.write({"__key__": f"{number:09d}", "jpg": record, "cls": str(label)})


def stream(folder: Path, share: Share) -> Epoch:
    """Iterating through a shuffle buffer of 1000; of two processes each has half of the tars."""
    tars = _tars(folder)[share.part :: share.parts]
    records = webdataset.WebDataset(tars, shardshuffle=len(tars), empty_check=False).shuffle(_BUFFER)
    return lambda _: touched(sample["jpg"] for sample in records)


def loader(folder: Path, work: Work) -> Epoch:
    """Through WebLoader, batched in the worker."""
    tars = _tars(folder)
    decode = decoder(work.decoder)

    def pair(sample: dict[str, Any]) -> tuple[Any, int]:
        return decode(sample["jpg"]), int(sample["cls"])

    stored = webdataset.WebDataset(
        tars,
        shardshuffle=len(tars),
        workersplitter=webdataset.split_by_worker,
    )
    stored = stored.shuffle(_BUFFER).map(pair).batched(work.batch, collation_fn=collate)
    loaded = webdataset.WebLoader(
        stored,
        batch_size=None,
        num_workers=work.workers,
        persistent_workers=work.workers > 0,
        prefetch_factor=4 if work.workers else None,
    )
    return lambda _: delivered(loaded)


def _tars(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.tar"))]
