"""From what a person names, a dataset card or a folder, to the built dataset."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import NotFound, UsageError
from orchestrator.base.paths import state_dir
from orchestrator.spec.placement import INDEX_FILE, dataset_root


def require_data_plane() -> None:
    """Refuse where the libraries that read shards are not installed.

    Raises:
        UsageError: with what to install.
    """
    missing = [name for name in ("numpy", "pyarrow", "xxhash", "PIL") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"this needs {', '.join(missing)}", hint="pip install 'orchestrator[train]'")


def built_dataset(named: str) -> Path:
    """The folder of a built dataset.

    Args:
        named: the folder, or a card's name or path.

    Raises:
        NotFound: the card's dataset is not built; the hint is the command to type.
    """
    require_data_plane()
    if Path(named).is_dir():
        return Path(named)
    from orchestrator.spec.load import load_card

    card = load_card(named)
    root = dataset_root(card, state_dir())
    if not (root / INDEX_FILE).exists():
        source = "" if card.source == "bundled" else " --source FOLDER"
        raise NotFound(
            f"dataset {card.name} is not built: nothing at {root}", hint=f"orchestrator data build {named}{source}"
        )
    return root


def jsonable(report: object) -> Any:
    """A report of the data plane as JSON values."""
    if is_dataclass(report) and not isinstance(report, type):
        return jsonable(asdict(report))
    if isinstance(report, dict):
        return {str(key): jsonable(value) for key, value in report.items()}
    if isinstance(report, list | tuple):
        return [jsonable(value) for value in report]
    return str(report) if isinstance(report, Path) else report
