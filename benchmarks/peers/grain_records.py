"""ArrayRecord files, read by their data source and by grain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grain
import torch
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter

from peers.decoding import collate, decoder
from peers.inputs import Inputs
from peers.share import Epoch, Share, Work, by_index, delivered, touched

_FILE = "all.array_record"
_AT_ONCE = 64


def write(folder: Path, inputs: Inputs) -> None:
    """Groups of one record: the layout for reading at random; not compressed."""
    writer = ArrayRecordWriter(str(folder / _FILE), "group_size:1,uncompressed")
    for number in range(len(inputs)):
        record, label = inputs[number]
        writer.write(label.to_bytes(2, "little") + record)
    writer.close()


def rows(folder: Path, share: Share) -> Epoch:
    """By index."""
    source = ArrayRecordDataSource(str(folder / _FILE))
    return by_index(share, source.__getitem__)


def batches(folder: Path, share: Share) -> Epoch:
    """In batches of 64 rows, which it reads with threads of its own."""
    source = ArrayRecordDataSource(str(folder / _FILE))

    def epoch(number: int) -> int:
        order = share.order(number)
        asked = (order[start : start + _AT_ONCE] for start in range(0, len(order), _AT_ONCE))
        return sum(touched(source.__getitems__(some)) for some in asked)

    return epoch


def stream(folder: Path, share: Share) -> Epoch:
    """Iterating over grain's shuffled dataset with its read threads."""
    source = ArrayRecordDataSource(str(folder / _FILE))
    start, stop = share.bounds

    def epoch(number: int) -> int:
        shuffled = grain.MapDataset.source(source).shuffle(seed=number)[start:stop]
        return touched(shuffled.to_iter_dataset())

    return epoch


def loader(folder: Path, work: Work) -> Epoch:
    """Grain's DataLoader: decoded and batched; a new one each epoch, so that none works ahead between two epochs.

    Raises:
        ValueError: worker processes were asked for: they either start anew with each epoch, which takes seconds, or go
            on filling their buffers while nobody measures, so that no time of theirs can be compared.
    """
    if work.workers:
        raise ValueError("its workers start anew each epoch or work ahead between epochs: no comparable time")
    source = ArrayRecordDataSource(str(folder / _FILE))

    def epoch(number: int) -> int:
        loaded = grain.DataLoader(
            data_source=source,
            sampler=grain.samplers.IndexSampler(len(source), num_epochs=1, shuffle=True, seed=number),
            operations=[_Decoding(work.decoder), grain.transforms.Batch(work.batch, batch_fn=_stacked)],
            worker_count=0,
        )
        return delivered(map(_tensors, loaded))

    return epoch


class _Decoding(grain.transforms.Map):
    """A transform that it can send to a process."""

    def __init__(self, name: str) -> None:
        self._name = name

    def map(self, element: bytes) -> Any:
        return decoder(self._name)(element[2:]), element[0]


def _stacked(samples: Any) -> Any:
    images, labels = collate(samples)
    return images.numpy(), labels.numpy()


def _tensors(batch: Any) -> Any:
    return torch.as_tensor(batch[0]), torch.as_tensor(batch[1])
