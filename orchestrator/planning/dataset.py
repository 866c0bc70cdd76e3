"""What is known of a dataset without reading a single shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import NotFound
from orchestrator.base.files import read_json
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.load import load_card
from orchestrator.spec.placement import INDEX_FILE, dataset_root


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset as the control plane sees it.

    Attributes:
        name: what people call it.
        root: where its shards lie, or will lie.
        built: whether they are there.
        buildable: whether a run can build it without a source.
        rows: samples of each split; empty where nobody has counted yet.
        channels: of its images.
        classes: how many.
    """

    name: str
    root: Path
    built: bool
    buildable: bool
    rows: dict[str, int]
    channels: int
    classes: int


def dataset_facts(dataset: str, *, workdir: Path, state_dir: Path) -> DatasetFacts:
    """What is known of `data.dataset`: a card's name, a card's path, or a folder of built shards.

    Raises:
        NotFound: it is none of these; the hint names cards that are alike.
        SpecError: the card is invalid.
    """
    root = workdir / dataset
    if (root / INDEX_FILE).is_file():
        return _built(dataset, root)
    path = workdir / dataset
    card = load_card(path if path.is_file() else dataset)
    root = dataset_root(card, state_dir)
    if (root / INDEX_FILE).is_file():
        return _built(card.name, root)
    return _unbuilt(card, root)


def _built(name: str, root: Path) -> DatasetFacts:
    header = read_json(root / INDEX_FILE)
    try:
        assert header is not None
        rows = {split: int(part["rows"]) for split, part in header["splits"].items()}
        description = header["description"]
        channels, classes = int(description["channels"]), len(description["classes"])
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise NotFound(f"{root / INDEX_FILE} is damaged", hint=f"orchestrator data verify {root}") from error
    return DatasetFacts(name, root, True, True, rows, channels, classes)


def _unbuilt(card: DatasetCard, root: Path) -> DatasetFacts:
    buildable = card.source == "bundled"
    return DatasetFacts(card.name, root, False, buildable, dict(card.rows), card.channels, len(card.classes))
