"""From what a person names, a dataset card, a folder or a URL, to the built dataset."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UsageError
from orchestrator.base.paths import state_dir


def require_data_plane() -> None:
    """Refuse where the libraries that read shards are not installed.

    Raises:
        UsageError: with what to install.
    """
    missing = [name for name in ("numpy", "pyarrow", "xxhash", "PIL") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"this needs {', '.join(missing)}", hint="pip install 'orchestrator[train]'")


def built_dataset(named: str) -> Path | str:
    """The folder or URL of a built dataset.

    Args:
        named: a card's name or file, a folder, or a URL.

    Raises:
        NotFound: the card's dataset is not built; the hint is the command to type.
    """
    require_data_plane()
    from orchestrator.spec.dataset import find_dataset

    found = find_dataset(named, workdir=Path.cwd(), state_dir=state_dir())
    if not found.built:
        raise found.not_built()
    return found.location


def jsonable(report: object) -> Any:
    """A report of the data plane as JSON values."""
    if is_dataclass(report) and not isinstance(report, type):
        return jsonable(asdict(report))
    if isinstance(report, dict):
        return {str(key): jsonable(value) for key, value in report.items()}
    if isinstance(report, list | tuple):
        return [jsonable(value) for value in report]
    return str(report) if isinstance(report, Path) else report
