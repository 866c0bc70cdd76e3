"""LitData: chunks written by its `optimize`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from litdata import StreamingDataLoader, StreamingDataset, optimize

from peers.decoding import collate, decoder
from peers.inputs import Inputs
from peers.share import Epoch, Share, Work, by_index, delivered, join, touched


def write(folder: Path, inputs: Inputs, workers: int = 1) -> None:
    """`optimize` with chunks of 64 MB, no compression."""
    optimize(
        fn=partial(_sample, inputs),
        inputs=list(range(len(inputs))),
        output_dir=str(folder),
        num_workers=workers,
        chunk_bytes="64MB",
        verbose=False,
        start_method="fork",
    )


def write_by_two(folder: Path, inputs: Inputs) -> None:
    """The same with two worker processes."""
    write(folder, inputs, workers=2)


def rows(folder: Path, share: Share) -> Epoch:
    """By index."""
    stored = StreamingDataset(str(folder))
    return by_index(share, lambda number: stored[number]["record"])


def stream(folder: Path, share: Share) -> Epoch:
    """Iterating, shuffled; of two processes each is a rank."""
    join(share)
    stored = StreamingDataset(str(folder), shuffle=True)
    return lambda _: touched(sample["record"] for sample in stored)


def loader(folder: Path, work: Work) -> Epoch:
    """Through its StreamingDataLoader, shuffled."""
    stored = StreamingDataset(str(folder), shuffle=True, transform=_Decoding(work.decoder))
    loaded = StreamingDataLoader(
        stored,
        batch_size=work.batch,
        num_workers=work.workers,
        collate_fn=collate,
        persistent_workers=work.workers > 0,
        prefetch_factor=4 if work.workers else None,
    )
    return lambda _: delivered(loaded)


class _Decoding:
    """A transform that it can send to a process."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, sample: dict[str, Any], *_: Any) -> Any:
        return decoder(self._name)(sample["record"]), sample["label"]


def _sample(inputs: Inputs, number: int) -> Iterator[dict[str, Any]] | dict[str, Any]:
    record, label = inputs[number]
    return {"record": record, "label": label}
