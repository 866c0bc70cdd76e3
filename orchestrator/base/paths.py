"""Where things lie: the user's state directory, and the workloads, profiles and cards that come with the package."""

from __future__ import annotations

import os
from pathlib import Path

STATE_VARIABLE = "ORCHESTRATOR_STATE_DIR"
CACHE_VARIABLE = "ORCHESTRATOR_CACHE_DIR"
"""Where remote datasets are kept on this node."""
CACHE_BYTES_VARIABLE = "ORCHESTRATOR_CACHE_BYTES"
"""How much of them."""


def state_dir() -> Path:
    """The user's state directory: `$ORCHESTRATOR_STATE_DIR`, else the XDG state directory."""
    chosen = os.environ.get(STATE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("orchestrator"))


def bundled(folder: str) -> Path:
    """A folder of the distribution (`workloads`, `cluster`, …): in the repository, or inside the installed package."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_bundled" / folder
    return installed if installed.is_dir() else package.parent / folder


def inside(root: Path, relative: str) -> Path:
    """Resolve `relative` under `root`.

    Raises:
        ValueError: where the resolved path, links followed, lies outside `root`.
    """
    if "\0" in relative:
        raise ValueError("a path holds a NUL byte")
    resolved_root = root.resolve()
    resolved = (resolved_root / relative).resolve()
    if not resolved.is_relative_to(resolved_root):
        raise ValueError(f"{relative!r} lies outside {root}")
    return resolved
