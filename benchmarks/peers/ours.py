"""This library: its writer, its reader with every checksum verified, its loader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchestrator.data.arrays import Int64s
from orchestrator.data.build import build
from orchestrator.data.header import Description
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.order import FULL, EpochOrder
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Schema
from orchestrator.data.transform import Transform
from orchestrator.data.writer import DatasetWriter
from orchestrator.spec.card import Column, DatasetCard, Fractions
from peers.inputs import Inputs
from peers.share import Epoch, Share, Work, delivered, touched

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.247, 0.2435, 0.2616)
_AT_ONCE = 256
_ANNOUNCED = 8
_SPLIT = "train"
_SHARD_BYTES = 4 * 2**20


def write(folder: Path, inputs: Inputs) -> None:
    """Records or JPEGs by the writer alone, which looks into none of them."""
    kind = "bytes" if inputs.record_bytes else "image"
    schema = Schema.of([("record", kind), ("label", "label")])
    with DatasetWriter(folder, schema, Description(name="benchmark", mean=MEAN, std=STD)) as writer:
        writer.add_split(_SPLIT)
        for number in range(len(inputs)):
            record, label = inputs[number]
            writer.write(_SPLIT, {"record": record, "label": label})


def build_alone(folder: Path, inputs: Inputs) -> None:
    """`data build` of a folder of images, every one of them decoded to see that it is whole."""
    _build(folder, inputs, processes=1)


def build_by_two(folder: Path, inputs: Inputs) -> None:
    """The same with two processes."""
    _build(folder, inputs, processes=2)


def views(folder: Path, share: Share) -> Epoch:
    """Views of the memory map, in batches of 256."""
    return _reading(folder, share, copy=False)


def copies(folder: Path, share: Share) -> Epoch:
    """`bytes`, as peers deliver, in batches of 256."""
    return _reading(folder, share, copy=True)


def loader(folder: Path, work: Work) -> Epoch:
    """Its batches as torch tensors; decoded images are not kept."""
    dataset = ShardedDataset(folder, _SPLIT)
    options = LoaderOptions(shuffle=FULL, cache_bytes=0, image="record", pixels="uint8", workers=work.workers)
    loaded = BatchLoader(dataset, Transform(3, MEAN, STD), options)

    def epoch(number: int) -> int:
        starts = range(0, len(loaded), work.batch)
        spans = [np.arange(start, min(start + work.batch, len(loaded)), dtype=np.int64) for start in starts]
        return delivered(_batches(loaded, spans, number))

    return epoch


def _build(folder: Path, inputs: Inputs, processes: int) -> None:
    source = Path(inputs.files[0]).parent.parent
    card = DatasetCard(
        name="benchmark",
        title="JPEGs",
        converter="image_folder",
        source="folder",
        columns={"record": Column(type="image"), "label": Column(type="label")},
        splits=Fractions(train=1.0),
        shard_size=_SHARD_BYTES,
    )
    report = build(card, source, folder, processes=processes)
    if sum(report.rows.values()) != len(inputs):
        raise ValueError(f"{len(inputs)} inputs became {report.rows}")


def _batches(loaded: BatchLoader, spans: list[Int64s], epoch: int) -> Iterator[Any]:
    for step, span in enumerate(spans):
        if loaded.options.workers:
            loaded.expect([(epoch, coming) for coming in spans[step : step + _ANNOUNCED]])
        images, labels = loaded.load(span, epoch)
        yield torch.from_numpy(images), torch.from_numpy(labels)


def _reading(folder: Path, share: Share, *, copy: bool) -> Epoch:
    dataset = ShardedDataset(folder, _SPLIT)
    start, stop = share.bounds

    def epoch(number: int) -> int:
        order = EpochOrder(len(dataset), seed=0, epoch=number, version=dataset.version, shuffle=FULL)
        count = 0
        rows = order.rows_between(start, stop)
        for first in range(0, len(rows), _AT_ONCE):
            records = dataset.read_many(rows[first : first + _AT_ONCE]).values["record"]
            count += touched(map(bytes, records)) if copy else len(records)
        return count

    return epoch
