"""Plans a build before anything is read: which samples go to which split, in which order, and where shards are cut."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Int64s
from orchestrator.data.header import FORMAT
from orchestrator.data.keyed import derive_key
from orchestrator.data.permutation import KeyedPermutation
from orchestrator.data.source import Sample, Source
from orchestrator.data.splits import hold_out, stratify
from orchestrator.data.writer import Limits
from orchestrator.spec.card import DatasetCard, Fractions, Given
from orchestrator.spec.placement import card_digest

_AT_ONCE = 8192


@dataclass(frozen=True)
class Part:
    """Samples that become one shard: `places` (n,) in the source, in the order of the rows; `number` in its split.

    `bytes` is about what they take, as the source tells it.
    """

    split: str
    number: int
    places: Int64s
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What a build will make.

    Attributes:
        digest: SHA-256 over all that decides the bytes of the shards before the samples are read.
        splits: names, in order; a split may have no part.
        parts: of all splits, in the order of their shards.
        rows: samples of each split.
    """

    digest: str
    splits: tuple[str, ...]
    parts: tuple[Part, ...]
    rows: dict[str, int]


@dataclass(frozen=True)
class Survey:
    """What all samples say of themselves, gathered in one pass.

    Attributes:
        strata: (n,) of the samples.
        folders: (n,) numbers of their folders in `names`.
        sizes: (n,) bytes of their records, about.
        names: the folders.
        digest: SHA-256 over all of it and the samples' names.
    """

    strata: Int64s
    folders: Int64s
    sizes: Int64s
    names: tuple[str, ...]
    digest: str

    def of(self, folder: str) -> Int64s:
        """The places of a folder's samples."""
        number = self.names.index(folder) if folder in self.names else -1
        return np.flatnonzero(self.folders == number)


def plan(card: DatasetCard, source: Source, limits: Limits) -> Plan:
    """Plan a build; the same card, source listing and limits give the same plan."""
    found = survey(source.samples)
    splits = assign_splits(card, found)
    parts: list[Part] = []
    for split, places in splits.items():
        rows = _mixed(places, card, split) if card.row_order == "keyed" else places
        for number, cut in enumerate(_cut(rows, found.sizes[rows], limits)):
            parts.append(Part(split, number, cut, int(found.sizes[cut].sum())))
    decided = {
        "format": FORMAT,
        "card": card_digest(card),
        "limits": [limits.shard_bytes, limits.shard_rows, limits.batch_bytes, limits.batch_rows],
        "classes": source.classes,
        "attributes": dict(source.attributes),
        "samples": found.digest,
        "inputs": source.inputs,
    }
    digest = hashlib.sha256(json.dumps(decided, sort_keys=True, default=str).encode()).hexdigest()
    return Plan(digest, tuple(splits), tuple(parts), {split: len(places) for split, places in splits.items()})


def survey(samples: Sequence[Sample]) -> Survey:
    """Look at each sample once; they may be made on demand."""
    count = len(samples)
    strata, folders, sizes = (np.empty(count, dtype=np.int64) for _ in range(3))
    numbers: dict[str, int] = {}
    digest = hashlib.sha256()
    for start, some in _in_blocks(samples):
        place = slice(start, start + len(some))
        strata[place] = [sample.stratum for sample in some]
        sizes[place] = [sample.size for sample in some]
        folders[place] = [numbers.setdefault(sample.folder, len(numbers)) for sample in some]
        digest.update("\0".join(sample.name for sample in some).encode("utf-8", "surrogateescape"))
    for part in (strata, folders, sizes):
        digest.update(part.tobytes())
    digest.update(json.dumps(list(numbers)).encode())
    return Survey(strata, folders, sizes, tuple(numbers), digest.hexdigest())


def assign_splits(card: DatasetCard, found: Survey) -> dict[str, Int64s]:
    """The places of the samples of each split: cut by the card's fractions, or by folder with a part held out."""
    splits = card.splits
    if isinstance(splits, Fractions):
        fractions = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        chosen = {name: part for name, part in fractions.items() if part}
        return stratify(found.strata, chosen, splits.seed)
    if isinstance(splits, Given):
        return {split: found.of(folder) for split, folder in splits.names.items()}
    train = found.of(splits.train)
    if splits.validation > len(train):
        raise DataError(f"the card holds out {splits.validation} samples of train, which has {len(train)}")
    held = train[hold_out(found.strata[train], splits.validation, splits.seed)]
    parts = {"train": np.setdiff1d(train, held), "validation": held, "test": found.of(splits.test)}
    return {name: part for name, part in parts.items() if part.size or name != "validation"}


def _in_blocks(samples: Sequence[Sample]) -> Iterator[tuple[int, Sequence[Sample]]]:
    for start in range(0, len(samples), _AT_ONCE):
        yield start, samples[start : start + _AT_ONCE]


def _mixed(places: Int64s, card: DatasetCard, split: str) -> Int64s:
    permutation = KeyedPermutation(len(places), derive_key("rows", card.splits.seed, split))
    return places[permutation.apply(np.arange(len(places), dtype=np.int64))]


def _cut(places: Int64s, sizes: Int64s, limits: Limits) -> list[Int64s]:
    """Cut into parts of nearly equal bytes, as few as the limits allow; none is empty."""
    if not places.size:
        return []
    ends = np.cumsum(np.maximum(sizes, max(1, limits.shard_bytes // limits.shard_rows)))
    total = int(ends[-1])
    count = -(-total // limits.shard_bytes)
    bounds = [total * number // count for number in range(1, count)]
    cuts = np.unique(np.searchsorted(ends, np.array(bounds, dtype=np.int64), side="left") + 1)
    return np.split(places, cuts[cuts < len(places)])
