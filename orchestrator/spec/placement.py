"""Where the built dataset of a card lies; both planes must agree on it without reading a shard."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic takes a fifth of a second; who only wants a path does not wait for it
    from orchestrator.spec.card import DatasetCard

INDEX_FILE = "index.json"
_ABOUT = {"title", "description", "homepage", "license", "citation", "rows"}


def card_digest(card: DatasetCard) -> str:
    """SHA-256 in hex of what a card says about content; its title, description and the like do not count."""
    content = card.model_dump(mode="json", exclude=_ABOUT)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def dataset_root(card: DatasetCard, state_dir: Path) -> Path:
    """Where the dataset of a card lies unless somebody builds it elsewhere."""
    return state_dir / "datasets" / f"{card.name}-{card_digest(card)[:12]}"
