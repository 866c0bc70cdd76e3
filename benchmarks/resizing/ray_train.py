"""Ray Train's elastic scaling: a cluster of two nodes on this machine, in a process of its own.

Its intervals are as short as its settings allow, so that it is quicker than it comes. What it has is a restart of all
workers from the newest checkpoint. `ray.train.get_preemption_info` is not asked for: it lets a worker save a checkpoint
when a node is to be taken away, seconds before that happens; here there is a newer one anyway.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from resizing.contender import Contender, NotWithin
from resizing.processes import descendants, kill, kill_tree
from resizing.steps import read_steps

DRIVER = Path(__file__).with_name("ray_driver.py")
_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "30",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
}


class RayTrain(Contender):
    """One training of Ray Train."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._driver: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """The driver with both nodes."""
        path = os.pathsep.join([str(DRIVER.parents[1]), os.environ.get("PYTHONPATH", "")])
        (self.folder / "ray").mkdir()
        environment = _ENVIRONMENT | {"PYTHONPATH": path, "RAY_TMPDIR": str(self.folder)}
        self._driver = self.launch([sys.executable, str(DRIVER), str(self.folder)], self._log, environment, talk=True)

    def shrink(self) -> None:
        """The second node is drained, and ends by itself."""
        self._say("shrink")

    def grow(self) -> None:
        """Another node joins the cluster."""
        self._say("grow")

    def kill_worker(self) -> None:
        """One of the second node's."""
        workers = {mark.pid for mark in read_steps(self.folder)}
        kill([pid for pid in descendants(self._second()) if pid in workers][-1:])

    def lose_node(self) -> None:
        """The second node's raylet and all below it, by SIGKILL."""
        kill_tree(self._second())

    def come_back(self) -> None:
        """Another node joins the cluster."""
        self._say("grow")

    def check(self) -> None:
        """A driver that has ended brings nothing about any more."""
        if self._driver is not None and self._driver.poll() is not None:
            words = self._log.read_text(errors="replace").strip().splitlines()
            raise NotWithin(f"Ray's driver ended: {words[-1] if words else 'without a word'}")

    def _say(self, word: str) -> None:
        assert self._driver is not None
        assert self._driver.stdin is not None
        self._driver.stdin.write(f"{word}\n".encode())
        self._driver.stdin.flush()

    @property
    def _log(self) -> Path:
        return self.folder / "driver.log"

    def _second(self) -> int:
        return int((self.folder / "second-node").read_text())
