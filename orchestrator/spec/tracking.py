"""Where metrics go when nobody says otherwise: an MLflow store under the user's state directory."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.base.paths import state_dir

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


def default_tracking_uri() -> str:
    """`$MLFLOW_TRACKING_URI`, else a SQLite store under the state directory."""
    chosen = os.environ.get(TRACKING_VARIABLE, "").strip()
    return chosen or f"sqlite:///{_folder() / 'mlflow.db'}"


def default_artifact_root() -> Path:
    """Where the embedded store keeps plots and summaries."""
    return _folder() / "artifacts"


def _folder() -> Path:
    return state_dir() / "mlflow"
