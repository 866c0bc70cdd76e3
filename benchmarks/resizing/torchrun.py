"""torchrun's elastic restart: two nodes of two workers each, which leave and come back.

A node that leaves does not say so: neither SIGTERM nor SIGKILL takes it out of the rendezvous, which forgets it when
its keep-alive has been missing for `keep_alive_interval * keep_alive_max_attempt` (15 s as it comes), and then waits
`last_call_timeout` (30 s) for somebody to take its place. Tuned, these are as short as they work: nodes look at the
rendezvous once a second, and where the last call is no longer than that they miss each other's rounds for ever.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from resizing.contender import Contender, NotWithin
from resizing.processes import descendants, end_tree, kill
from resizing.steps import read_steps

WORKER = Path(__file__).with_name("ddp_worker.py")
_TUNED = [
    *("--rdzv-conf", "last_call_timeout=3,keep_alive_interval=1,keep_alive_max_attempt=3"),
    *("--monitor-interval", "0.1"),
]
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # else growing hangs
}
_PORT_SECONDS = 30


class Torchrun(Contender):
    """One job of torchrun.

    Args:
        folder: for logs and checkpoints.
        tuned: see the module; else as it comes.
    """

    def __init__(self, folder: Path, *, tuned: bool) -> None:
        super().__init__(folder)
        self._options = _TUNED if tuned else []
        self._nodes: list[subprocess.Popen[bytes]] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]

    def start(self) -> None:
        """The first node holds the rendezvous, and no event takes it away."""
        self._nodes.append(self._node(0))
        self._await_port()
        self._nodes.append(self._node(1))

    def shrink(self) -> None:
        """SIGTERM: its agent ends its workers and itself."""
        self._nodes[1].send_signal(signal.SIGTERM)

    def grow(self) -> None:
        """Another agent joins."""
        self._nodes[1].wait()
        self._nodes[1] = self._node(1)

    def kill_worker(self) -> None:
        """One of the second node's."""
        workers = {mark.pid for mark in read_steps(self.folder)}
        kill([pid for pid in descendants(self._nodes[1].pid) if pid in workers][-1:])

    def lose_node(self) -> None:
        """The agent and its workers, by SIGKILL."""
        end_tree(self._nodes[1])

    def come_back(self) -> None:
        """Another agent joins."""
        self.grow()

    def _await_port(self) -> None:
        deadline = time.monotonic() + _PORT_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            if time.monotonic() > deadline:
                raise NotWithin(f"torchrun opens no rendezvous within {_PORT_SECONDS} s")
            time.sleep(0.05)

    def _node(self, number: int) -> subprocess.Popen[bytes]:
        argv = [
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes=1:2", "--nproc-per-node=2"),
            *("--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{self._port}", "--rdzv-id=race"),
            *("--max-restarts=1000", "--local-addr=127.0.0.1", *self._options, str(WORKER), str(self.folder)),
        ]
        return self.launch(argv, self.folder / f"node-{number}.log", _ENVIRONMENT)
