"""How Ray Train is set: its own defaults notice trouble late, and wait long for what does not come."""

from __future__ import annotations

import os

_SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # Ray's own: 2
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",  # 60: for places on a node that is gone
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "2",  # 5
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
LOOK_FOR_ROOM_SECONDS = 60.0
"""How often Ray Train looks for room for more workers: to take it costs the steps since the last checkpoint."""
STARTS = 15
"""Attempts to start all workers, each within the time above, before the run is given up."""


def set_environment() -> None:
    """Ray Train reads these in the driver, and hands most of them to its controller and workers; call it before."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
