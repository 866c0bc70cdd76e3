"""Says whether a folder holds already what a build would make: the same card, and the same source unchanged."""

from __future__ import annotations

from pathlib import Path

from orchestrator.base.errors import Conflict
from orchestrator.base.files import read_json
from orchestrator.data.build import SKIPPED_FILE, BuildReport, planned_build
from orchestrator.data.claim import built_from
from orchestrator.data.converters.listing import Tell
from orchestrator.data.index import DatasetIndex
from orchestrator.data.source import Skipped
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.placement import INDEX_FILE, card_digest


def already_built(card: DatasetCard, source: Path | None, root: Path, listed: Tell | None = None) -> BuildReport | None:
    """What a folder holds, where a build would make the same; None where it holds no dataset.

    The source is listed anew, and no sample of it is read.

    Args:
        card: what is to be built.
        source: where the inputs are; None: only the card is compared.
        root: the folder.
        listed: told how far the listing is.

    Raises:
        Conflict: it holds a dataset of another card or of another source.
    """
    if not (root / INDEX_FILE).exists():
        return None
    index = DatasetIndex.open(root)
    elsewhere = f"delete {root} first, or build into another folder with --out"
    if index.header.description.card != card_digest(card):
        raise Conflict(f"{root} already holds a dataset, of another card than {card.name}", hint=elsewhere)
    if source is not None and planned_build(card, source, listed)[1].digest != built_from(root):
        raise Conflict(
            f"{root} is built already, not from {source} as it is now: from another folder, or its files have changed",
            hint=f"{elsewhere}; to upload what is built: orchestrator data publish {root} URL",
        )
    parts = [index.split(name) for name in index.splits]
    document = read_json(root / SKIPPED_FILE) or {"skipped": []}
    return BuildReport(
        root=root,
        name=card.name,
        version=index.version,
        rows={part.name: part.rows for part in parts},
        bytes=sum(part.bytes for part in parts),
        skipped=tuple(Skipped(**entry) for entry in document["skipped"]),
        kept=sum(part.shards for part in parts),
        shards=sum(part.shards for part in parts),
        warnings=(),
    )
