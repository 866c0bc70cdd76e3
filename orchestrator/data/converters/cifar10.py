"""CIFAR-10, as its authors' binary version or as folders of images, whichever the source holds.

    <source>/[cifar-10-batches-bin/]{data_batch_1 .. data_batch_5,test_batch}.bin
    <source>/{train,test}/<class>/*.jpg

A record of the binary version is 3,073 bytes: the label, then 1,024 red, green and blue values each, row by row. Pixels
become PNGs, which lose nothing. The Python version is pickles, which run whatever is in them, and is refused.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.data.converters import image_folder
from orchestrator.data.converters.class_folders import image_and_label
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import OUTSIDE, is_inside, source_folder, split_names
from orchestrator.data.decode import encode_png
from orchestrator.data.source import BadSample, Record, Sample, Source
from orchestrator.spec.card import DatasetCard

_BATCHES = {f"data_batch_{number}.bin": "train" for number in range(1, 6)} | {"test_batch.bin": "test"}
_NAMES = "batches.meta.txt"
_SIDE = 32
_RECORD_BYTES = 1 + 3 * _SIDE * _SIDE
_RECORDS = 10_000
_PNG_BYTES = 2_300


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the images of either layout.

    Raises:
        UsageError: no source was given, or it is the Python version.
        NotFound: a batch, or a folder, is absent.
        DataError: the card has other classes or splits than CIFAR-10.
    """
    root, listing = source_folder(card, source), listing or Listing()
    for place in (root, root / "cifar-10-batches-bin"):
        if any((place / name).exists() for name in _BATCHES):
            return _scan_binary(card, root, place, listing)
    if any((place / "data_batch_1").exists() for place in (root, root / "cifar-10-batches-py")):
        raise UsageError(
            f"{source} holds CIFAR-10's Python version: pickles, which run whatever is in them",
            hint="take the binary version, cifar-10-binary.tar.gz, or folders of images",
        )
    return image_folder.scan(card, source, listing)


def _scan_binary(card: DatasetCard, root: Path, place: Path, listing: Listing) -> Source:
    columns = image_and_label(card)
    if other := set(split_names(card)) - {"", *_BATCHES.values()}:
        raise DataError(f"CIFAR-10 has no split {sorted(other)[0]!r}", hint="its splits are train and test")
    listing.uses(place / _NAMES)
    classes = _classes(card, place)
    samples: list[Sample] = []
    for name, split in _BATCHES.items():
        path = place / name
        if not is_inside(root, path):
            listing.add(name, OUTSIDE)
            continue
        if not path.is_file():
            raise NotFound(f"no file {path}", hint=f"the binary version is {', '.join(_BATCHES)}")
        listing.uses(path)
        samples += _scan_batch(path, split, len(classes), columns, listing)
    return listing.source(classes, samples)


def _classes(card: DatasetCard, place: Path) -> tuple[str, ...]:
    path = place / _NAMES
    named = tuple(path.read_text(encoding="utf-8", errors="replace").split()) if path.is_file() else ()
    classes = tuple(card.classes) or named
    if not classes:
        raise NotFound(f"no file {path}", hint="it names the classes; or name them in the card")
    if named and named != classes:
        raise DataError(
            f"{path} has other classes than the card: {', '.join(named)}", hint="mend the label column of the card"
        )
    return classes


def _scan_batch(path: Path, split: str, classes: int, columns: tuple[str, str], listing: Listing) -> list[Sample]:
    content = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
    whole = len(content) // _RECORD_BYTES
    if len(content) != _RECORDS * _RECORD_BYTES:
        first = min(whole, _RECORDS)
        last = max(_RECORDS, -(-len(content) // _RECORD_BYTES)) - 1
        expected = f"the file has {len(content):,} bytes; {_RECORDS * _RECORD_BYTES:,} expected"
        listing.add(f"{path.name} records {first} to {last}", expected)
    samples: list[Sample] = []
    labels = content[: whole * _RECORD_BYTES : _RECORD_BYTES][:_RECORDS].tolist()
    for number, label in enumerate(labels):
        name = f"{path.name} record {number}"
        if label < classes:
            samples.append(Sample(name, split, label, _PNG_BYTES, partial(_read, str(path), number, label, columns)))
        else:
            listing.add(name, f"there is no class {label}: the last one is {classes - 1}")
    return samples


def _read(path: str, number: int, label: int, columns: tuple[str, str]) -> Record:
    with open(path, "rb") as file:
        content = os.pread(file.fileno(), _RECORD_BYTES, number * _RECORD_BYTES)
    if len(content) != _RECORD_BYTES:
        raise BadSample(f"{path} has become shorter")
    planes = np.frombuffer(content, np.uint8)[1:].reshape(3, _SIDE, _SIDE)
    image, name = columns
    return {image: encode_png(np.ascontiguousarray(planes.transpose(1, 2, 0))), name: label}
