"""Where the built dataset of a card lies, and building it once where the card needs no source."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.spec.card import DatasetCard
from orchestrator.spec.dataset import NamedDataset
from orchestrator.spec.placement import INDEX_FILE, dataset_root


def ensure_built(card: DatasetCard, state_dir: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """The folder of a card's dataset, built first where it is absent and the card needs no source.

    Any number of processes may ask at once: one builds, the others wait for it.

    Raises:
        NotFound: it is not built and needs a source; the hint is the command to type.
    """
    root = dataset_root(card, state_dir)
    if (root / INDEX_FILE).exists():
        return root
    if card.source != "bundled":
        raise NamedDataset(card.name, root, card).not_built()
    from orchestrator.data.build import build

    with _locked(root.with_name(f"{root.name}.lock")):
        if not (root / INDEX_FILE).exists():
            build(card, None, root, progress)
    return root


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
