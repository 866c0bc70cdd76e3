"""Ray Train with an elastic number of workers, on a cluster of two nodes of two CPUs each, all on this machine.

python ray_driver.py FOLDER                 reads `shrink` and `grow` from its input; ends with it
"""

from __future__ import annotations

import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

sys.path.insert(0, str(Path(__file__).parents[1]))

from resizing.ddp_worker import train_ddp

NODE_FILE = "second-node"
"""Holds the process id of the second node's raylet."""
_NODE: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 80 * 1024 * 1024}
_FIRST, _SECOND = "127.0.0.2", "127.0.0.3"  # Ray takes 127.0.0.1 for another name of the machine's outer address
_DRAIN_SECONDS = 3


def work(settings: dict[str, str]) -> None:
    """What each worker does."""
    torch.set_num_threads(1)
    train_ddp(Path(settings["folder"]))


def fit(folder: Path) -> None:
    """Train for ever, with two to four workers."""
    trainer = TorchTrainer(
        work,
        train_loop_config={"folder": str(folder)},
        scaling_config=ScalingConfig(num_workers=(2, 4), elastic_resize_monitor_interval_s=1.0),
        run_config=RunConfig(storage_path=str(folder / "results"), failure_config=FailureConfig(max_failures=-1)),
    )
    trainer.fit()


class TwoNodes:
    """The cluster; its head is the first node.

    Args:
        folder: for all files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        head = {"node_ip_address": _FIRST, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=_NODE | head)
        self.grow()
        ray.init(address=self._cluster.address, _node_ip_address=_FIRST)

    def shrink(self) -> None:
        """The cluster is told that the second node will be taken away: the only notice that Ray Train hears."""
        client = import_module("ray._raylet").GcsClient(address=self._cluster.gcs_address)
        reasons = import_module("ray.core.generated.autoscaler_pb2").DrainNodeReason
        deadline = int((time.time() + _DRAIN_SECONDS) * 1000)
        reason = reasons.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, why = client.drain_node(self._second.node_id, reason, "the second node leaves", deadline)
        if not accepted:
            raise SystemExit(f"Ray does not drain the node: {why}")

    def grow(self) -> None:
        """A second node joins."""
        self._second = self._cluster.add_node(node_ip_address=_SECOND, **_NODE)
        (raylet,) = self._second.all_processes["raylet"]
        part = self._folder / f"{NODE_FILE}.part"
        part.write_text(str(raylet.process.pid))
        part.rename(self._folder / NODE_FILE)


def main(folder: Path) -> None:
    """Train, and do what is said meanwhile."""
    nodes = TwoNodes(folder)
    threading.Thread(target=fit, args=(folder,), daemon=True).start()
    for line in sys.stdin:
        {"shrink": nodes.shrink, "grow": nodes.grow}[line.strip()]()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
