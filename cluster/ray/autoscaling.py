"""What Ray's autoscaler is told where a cluster may grow by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from layout import HEAD, Cluster

NODE_TYPE = "node"
_IDLE_MINUTES = 1
_PROVIDER = Path(__file__).resolve().parent / "provider"
ENVIRONMENT = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "PYTHONPATH": str(_PROVIDER),
    "RAY_enable_autoscaler_v2": "1",
}
"""For the head of such a cluster."""


def write(cluster: Cluster) -> Path:
    """Write its file, for `ray start --autoscaling-config`."""
    path = cluster.folder / "autoscaling.json"
    path.write_text(json.dumps(_config(cluster), indent=1) + "\n")
    return path


def _config(cluster: Cluster) -> dict[str, Any]:
    size = cluster.size
    label = {"ray.io/accelerator-type": size.gpu_type} if size.gpus else {}
    kind = {
        "resources": {"CPU": size.cpus, "GPU": size.gpus},
        "labels": label,
        "node_config": {},
        "min_workers": 0,
        "max_workers": size.most_nodes,
    }
    return {
        "cluster_name": "dev",
        "max_workers": size.most_nodes,
        "idle_timeout_minutes": _IDLE_MINUTES,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "external",
            "module": "dev_provider.DevProvider",
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "command": str(Path(__file__).resolve().parent / "dev-cluster"),
            "folder": str(cluster.folder),
            "prefix": cluster.address(HEAD).removesuffix(".0.1"),
        },
        "auth": {},
        "docker": {},
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {"resources": {"CPU": 0, "GPU": 0}, "node_config": {}, "max_workers": 0},
            NODE_TYPE: kind,
        },
    }
