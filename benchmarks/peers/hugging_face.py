"""Hugging Face datasets: an Arrow table on disk, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

import datasets
from datasets import Dataset, Features, Value, load_from_disk
from peers.decoding import collate, decoder
from peers.inputs import Inputs
from peers.share import Epoch, Share, Work, by_index, delivered, touched

_AT_ONCE = 64


def write(folder: Path, inputs: Inputs) -> None:
    """`from_generator`, then `save_to_disk`."""
    datasets.disable_progress_bars()
    features = Features({"record": Value("binary"), "label": Value("int64")})

    def every() -> Iterator[dict[str, Any]]:
        for number in range(len(inputs)):
            record, label = inputs[number]
            yield {"record": record, "label": label}

    cache = folder / "cache"
    made = Dataset.from_generator(every, features=features, cache_dir=str(cache), writer_batch_size=200)
    made.save_to_disk(str(folder / "saved"))
    for path in sorted(cache.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def rows(folder: Path, share: Share) -> Epoch:
    """By row."""
    table = load_from_disk(str(folder / "saved"))
    return by_index(share, lambda number: table[number]["record"])


def batches(folder: Path, share: Share) -> Epoch:
    """In batches of 64 rows."""
    table = load_from_disk(str(folder / "saved"))

    def epoch(number: int) -> int:
        order = share.order(number)
        asked = (order[start : start + _AT_ONCE] for start in range(0, len(order), _AT_ONCE))
        return sum(touched(table[some]["record"]) for some in asked)

    return epoch


def loader(folder: Path, work: Work) -> Epoch:
    """A batched transform (`__getitems__` of a whole batch at once), shuffled by DataLoader."""
    decode = decoder(work.decoder)

    def transform(some: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"image": [decode(record) for record in some["record"]], "label": some["label"]}

    table = load_from_disk(str(folder / "saved")).with_transform(transform)
    loaded: DataLoader[Any] = DataLoader(
        table,
        work.batch,
        shuffle=True,
        num_workers=work.workers,
        collate_fn=lambda samples: collate([(sample["image"], sample["label"]) for sample in samples]),
        persistent_workers=work.workers > 0,
        prefetch_factor=4 if work.workers else None,
    )
    return lambda _: delivered(loaded)
