"""From what a person names, a dataset card, a folder or a URL, to the built dataset."""

from __future__ import annotations

import importlib.util
import logging
import sys
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.base.errors import DataError, NotFound, RemoteUnavailable, UsageError
from orchestrator.base.paths import state_dir
from orchestrator.base.text import one_line
from orchestrator.cli.output import note

_IMPATIENT: dict[str, Any] = {
    "tries": 4,
    "longest_seconds": 2.0,
    "stalled_seconds": 6.0,
    "connect_seconds": 2.0,
    "read_seconds": 4.0,
    "request_seconds": 4.0,
}
"""With a store that has not answered yet, as a plan waits; of what is fetched later, more."""


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
    if isinstance(found.location, str):
        reach(found.location)
    return found.location


def reach(location: str) -> None:
    """Give up within seconds where a store does not answer: somebody waits; and tell of retries from now on.

    What is missing or damaged there is left to whoever reads it.

    Args:
        location: a URL; a folder is there.

    Raises:
        RemoteUnavailable: the store does not answer, or refuses.
    """
    from orchestrator.data.remote.opening import read_remote_header
    from orchestrator.data.remote.retry import LOG, Patience
    from orchestrator.data.remote.settings import RemoteSettings
    from orchestrator.data.remote.storage import Storage
    from orchestrator.spec.place import RemotePlace, parse_location

    place = parse_location(location)
    if not isinstance(place, RemotePlace):
        return
    if sys.stderr.isatty() and not LOG.handlers:
        LOG.addHandler(_Notes())
        LOG.setLevel(logging.INFO)
    patience = Patience(**_IMPATIENT)
    try:
        read_remote_header(Storage(place, patience), replace(RemoteSettings.from_environment(), patience=patience))
    except RemoteUnavailable:
        raise
    except (NotFound, DataError):
        return


class _Notes(logging.Handler):
    """Log lines as notes on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        note(one_line(record.getMessage(), 300))


def jsonable(report: object) -> Any:
    """A report of the data plane as JSON values."""
    if is_dataclass(report) and not isinstance(report, type):
        return jsonable(asdict(report))
    if isinstance(report, dict):
        return {str(key): jsonable(value) for key, value in report.items()}
    if isinstance(report, list | tuple):
        return [jsonable(value) for value in report]
    return str(report) if isinstance(report, Path) else report
