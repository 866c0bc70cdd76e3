"""MosaicML Streaming: MDS shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streaming import MDSWriter, StreamingDataset
from streaming.base.util import clean_stale_shared_memory
from torch.utils.data import DataLoader

from peers.decoding import collate, decoder
from peers.inputs import Inputs
from peers.share import Epoch, Share, Work, by_index, delivered, join, touched


def write(folder: Path, inputs: Inputs) -> None:
    """Its defaults: shards of 64 MB, no compression, no hashes."""
    with MDSWriter(out=str(folder), columns={"record": "bytes", "label": "int"}) as writer:
        for number in range(len(inputs)):
            record, label = inputs[number]
            writer.write({"record": record, "label": label})


def rows(folder: Path, share: Share) -> Epoch:
    """By index."""
    stored = _open(folder, share)
    return by_index(share, lambda number: stored[number]["record"])


def stream(folder: Path, share: Share) -> Epoch:
    """Iterating, shuffled by its py1e; of two processes each is a rank."""
    stored = _open(folder, share, shuffle=True, shuffle_algo="py1e", batch_size=256)
    return lambda _: touched(sample["record"] for sample in stored)


def loader(folder: Path, work: Work) -> Epoch:
    """Through DataLoader, shuffled by its py1e."""
    clean_stale_shared_memory()
    stored = _Decoding(
        local=str(folder), shuffle=True, shuffle_algo="py1e", batch_size=work.batch, num_canonical_nodes=1
    )
    stored.decode = decoder(work.decoder)
    loaded: DataLoader[Any] = DataLoader(
        stored,
        work.batch,
        num_workers=work.workers,
        collate_fn=collate,
        persistent_workers=work.workers > 0,
        prefetch_factor=4 if work.workers else None,
    )
    return lambda _: delivered(loaded)


class _Decoding(StreamingDataset):
    """Decodes in `__getitem__`, as its documentation does."""

    decode: Any

    def __getitem__(self, at: int) -> Any:
        sample = super().__getitem__(at)
        return self.decode(sample["record"]), sample["label"]


def _open(folder: Path, share: Share, **options: Any) -> StreamingDataset:
    join(share)
    if share.parts == 1:
        clean_stale_shared_memory()
    return StreamingDataset(local=str(folder), num_canonical_nodes=1, **({"batch_size": 256} | options))
