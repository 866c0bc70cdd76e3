"""What a person's word for a dataset stands for: a card's name or file, a folder of built shards, or their URL.

Workloads, plans and the `data` commands all ask here, so that one word never means two datasets.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.errors import NotFound
from orchestrator.spec.load import load_card
from orchestrator.spec.place import RemotePlace, parse_location
from orchestrator.spec.placement import INDEX_FILE, dataset_root

if TYPE_CHECKING:
    from orchestrator.spec.card import DatasetCard


@dataclass(frozen=True)
class NamedDataset:
    """A dataset that somebody named.

    Attributes:
        name: what people call it.
        location: its folder, where its shards lie or will lie; or its URL.
        card: its card, where it was named by one.
        written: the word for it, as the person wrote it.
    """

    name: str
    location: Path | str
    card: DatasetCard | None = None
    written: str = ""

    @property
    def built(self) -> bool:
        """Whether its shards are there; of a URL nobody knows before it is read."""
        return isinstance(self.location, str) or (self.location / INDEX_FILE).is_file()

    @property
    def buildable(self) -> bool:
        """Whether a run can build it by itself: its card needs no source."""
        return self.card is not None and self.card.source == "bundled"

    def not_built(self) -> NotFound:
        """The error that says so, and what to type."""
        source = "" if self.buildable else " --source FOLDER"
        return NotFound(
            f"dataset {self.name} is not built: nothing at {self.location}",
            hint=f"type: orchestrator data build {shlex.quote(self.written or self.name)}{source}",
        )


def find_dataset(named: str, *, workdir: Path, state_dir: Path) -> NamedDataset:
    """The dataset that `named` stands for; no shard is read, and no URL is opened.

    In this order: a URL; a folder that holds an index; a card's file or name.

    Args:
        named: as written in a workload or on a command line; a relative path is meant from `workdir`.
        workdir: where the person stood who wrote it.
        state_dir: under which the datasets of cards are built.

    Raises:
        NotFound: it is none of these; the hint names cards that are alike.
        UsageError: a URL that is not used.
        SpecError: the card is invalid.
    """
    place = parse_location(named)
    if isinstance(place, RemotePlace):
        return NamedDataset(named, place.url)
    path = workdir / place.expanduser()
    if (path / INDEX_FILE).is_file():
        return NamedDataset(named, path)
    if (path.is_dir() and "/" in named) or is_url(named):
        raise NotFound(f"no dataset at {path}: it has no {INDEX_FILE}", hint="build it: orchestrator data build CARD")
    card = load_card(str(path) if "/" in named else named, workdir)
    return NamedDataset(card.name, dataset_root(card, state_dir), card, named)


def is_url(named: str) -> bool:
    """Whether it is a URL, such as `s3://bucket/data/cifar10`, and no card and no folder."""
    return "://" in named
