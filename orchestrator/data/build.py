"""Builds a dataset from its card: scan the source, cut the splits, check every image, write the shards."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.base.files import write_json
from orchestrator.data.arrays import Int64s
from orchestrator.data.converters import converter
from orchestrator.data.decode import UndecodableImage, decode, image_size
from orchestrator.data.header import Description
from orchestrator.data.index import DatasetIndex
from orchestrator.data.keyed import derive_key
from orchestrator.data.permutation import KeyedPermutation
from orchestrator.data.schema import Schema
from orchestrator.data.source import BadSample, Record, Sample, Skipped
from orchestrator.data.splits import hold_out, stratify
from orchestrator.data.writer import DatasetWriter, Limits
from orchestrator.spec.card import DatasetCard, Fractions, Given
from orchestrator.spec.placement import card_digest

Progress = Callable[[int, int], None]
"""Called with (done, total), in samples or rows."""

SKIPPED_FILE = "skipped.json"


@dataclass(frozen=True)
class BuildReport:
    """What a build made: rows of each split, bytes of all shards, the version, and what was left out and why."""

    root: Path
    name: str
    version: str
    rows: dict[str, int]
    bytes: int
    skipped: tuple[Skipped, ...]

    @property
    def skipped_by_reason(self) -> dict[str, int]:
        """How many inputs were left out for each reason, the most common first."""
        return dict(Counter(entry.reason for entry in self.skipped).most_common())


def build(card: DatasetCard, source: Path | None, out: Path, progress: Progress | None = None) -> BuildReport:
    """Build the dataset of a card into the folder `out`.

    Rows lie in a keyed order, so that any shard is a fair sample of its split. Images that cannot be read or decoded
    are left out and listed, in the report and in `skipped.json` beside the index.

    Args:
        card: what to build.
        source: where the inputs are; None where the card needs none.
        out: a new folder.
        progress: called now and then with (samples done, samples in all).

    Raises:
        Conflict: `out` already holds a dataset or other files.
        NotFound: the source is not laid out as the card says.
        DataError: no sample of the source is good, or the disk is full.
    """
    found = converter(card.converter)(card, source)
    image = next((name for name, column in card.columns.items() if column.type == "image"), None)
    description = Description(
        name=card.name,
        card=card_digest(card),
        classes=found.classes,
        channels=card.channels,
        mean=tuple(card.statistics.mean) if card.statistics else (),
        std=tuple(card.statistics.std) if card.statistics else (),
        attributes=dict(found.attributes),
    )
    bad: list[Skipped] = []
    tell = _Telling(progress, len(found.samples))
    schema = Schema.of((name, column.type) for name, column in card.columns.items())
    try:
        with DatasetWriter(out, schema, description, limits=Limits(shard_bytes=card.shard_size)) as writer:
            for split, places in assign_splits(card, found.samples).items():
                writer.add_split(split)
                for record in _good(found.samples, _mixed(places, card, split), image, card.channels, bad, tell):
                    writer.write(split, record)
            if found.samples and len(bad) == len(found.samples):
                raise DataError(f"no sample of {card.name} is good; the first: {bad[0].name}: {bad[0].reason}")
            skipped = (*found.skipped, *bad)
            if skipped:
                listed = [{"name": entry.name, "reason": entry.reason} for entry in skipped]
                write_json(out / SKIPPED_FILE, {"skipped": listed})
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        free = shutil.disk_usage(out).free
        raise DataError(f"the disk of {out} is full ({free} bytes free)", hint="free some space") from error
    return _report(card, out, skipped)


def assign_splits(card: DatasetCard, samples: Sequence[Sample]) -> dict[str, Int64s]:
    """The places of the samples of each split: cut by the card's fractions, or by folder with a part held out."""
    splits = card.splits
    labels = [sample.stratum for sample in samples]
    if isinstance(splits, Fractions):
        fractions = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        return stratify(labels, {name: part for name, part in fractions.items() if part}, splits.seed)
    folders = np.array([sample.folder for sample in samples])
    if isinstance(splits, Given):
        return {split: np.flatnonzero(folders == folder) for split, folder in splits.names.items()}
    train = np.flatnonzero(folders == splits.train)
    if splits.validation > len(train):
        raise DataError(f"the card holds out {splits.validation} samples of train, which has {len(train)}")
    held = train[hold_out([labels[place] for place in train.tolist()], splits.validation, splits.seed)]
    parts = {"train": np.setdiff1d(train, held), "validation": held, "test": np.flatnonzero(folders == splits.test)}
    return {name: part for name, part in parts.items() if part.size or name != "validation"}


class _Telling:
    """Counts samples and passes the count on, not too often."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._every = max(1, total // 200)
        self._done = 0

    def one_more(self) -> None:
        self._done += 1
        if self._progress is not None and (self._done % self._every == 0 or self._done == self._total):
            self._progress(self._done, self._total)


def _good(
    samples: Sequence[Sample], places: Int64s, image: str | None, channels: int, bad: list[Skipped], tell: _Telling
) -> Iterator[Record]:
    for place in places.tolist():
        sample = samples[place]
        tell.one_more()
        try:
            record = sample.read()
            if image is not None:
                image_size(record[image])
                decode(record[image], channels)
        except (UndecodableImage, BadSample) as error:
            bad.append(Skipped(sample.name, error.message))
        except OSError as error:
            bad.append(Skipped(sample.name, f"cannot be read: {error.strerror}"))
        else:
            yield record


def _mixed(places: Int64s, card: DatasetCard, split: str) -> Int64s:
    permutation = KeyedPermutation(len(places), derive_key("rows", card.splits.seed, split))
    return places[permutation.apply(np.arange(len(places), dtype=np.int64))]


def _report(card: DatasetCard, out: Path, skipped: tuple[Skipped, ...]) -> BuildReport:
    index = DatasetIndex.open(out)
    parts = [index.split(name) for name in index.splits]
    return BuildReport(
        root=out,
        name=card.name,
        version=index.version,
        rows={part.name: part.rows for part in parts},
        bytes=sum(part.bytes for part in parts),
        skipped=skipped,
    )
