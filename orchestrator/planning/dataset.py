"""What is known of a dataset without reading a single shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import DataError
from orchestrator.base.files import read_json
from orchestrator.planning.remote import read_remote_index
from orchestrator.spec.dataset import NamedDataset, find_dataset
from orchestrator.spec.placement import INDEX_FILE


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset as the control plane sees it.

    Attributes:
        named: where its shards lie, or will lie.
        built: whether they are there.
        rows: samples of each split; empty where nobody has counted yet.
        channels: of its images.
        classes: how many.
        columns: name and type of each.
        means: how many channels it states mean and std of.
        version: of the content; empty where it is not built.
    """

    named: NamedDataset
    built: bool
    rows: dict[str, int]
    channels: int
    classes: int
    columns: dict[str, str]
    means: int = 0
    version: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.named.name


def dataset_facts(dataset: str, *, workdir: Path, state_dir: Path) -> DatasetFacts:
    """What is known of `data.dataset`; of a URL its index is read.

    Raises:
        NotFound: it names nothing; the hint names cards that are alike.
        SpecError: the card is invalid.
        UsageError, DataError: its URL cannot be read, or its index is damaged.
    """
    named = find_dataset(dataset, workdir=workdir, state_dir=state_dir)
    if isinstance(named.location, str):
        return _built(named, read_remote_index(named.location))
    if named.built:
        return _built(named, read_json(named.location / INDEX_FILE) or {})
    card = named.card
    assert card is not None, "only a card's dataset may be found and not built"
    columns = {name: column.type for name, column in card.columns.items()}
    means = len(card.statistics.mean) if card.statistics else 0
    return DatasetFacts(named, False, dict(card.rows), card.channels, len(card.classes), dict(columns), means)


def _built(named: NamedDataset, header: Mapping[str, Any]) -> DatasetFacts:
    try:
        splits = sorted(header["splits"].items(), key=lambda part: int(part[1]["first_row"]))
        rows = {str(split): int(part["rows"]) for split, part in splits}
        about = header["description"]
        channels, classes, means = int(about["channels"]), len(about["classes"]), len(about["mean"])
        columns = {str(name): str(kind) for name, kind in header["columns"]}
        version = str(header["version"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{named.location}/{INDEX_FILE} is damaged", hint=f"orchestrator data verify {named.location}"
        ) from error
    return DatasetFacts(named, True, rows, channels, classes, columns, means, version)
