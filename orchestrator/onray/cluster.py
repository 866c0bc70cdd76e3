"""The Ray of a cluster, for a process of a run that uses it: where it is, and what of it is reserved for the run."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from orchestrator.onray.private import SETTINGS, Signals
from orchestrator.runtime.environment import RAY

NAMESPACE = "orchestrator"
_NOT_FOR_OTHERS = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "HOME",
        "HOSTNAME",
        "LOGNAME",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHELL",
        "SHLVL",
        "TMPDIR",
        "USER",
        "_",
    }
)
"""What differs from node to node, of a process's environment."""
_WORKDIR = "ORCHESTRATOR_WORKDIR"
_PROBE_SECONDS, _PROBE_TIMEOUT, _PROBES = 2.0, 3.0, 4


@dataclass(frozen=True)
class Reserved:
    """What a run has of the cluster's Ray.

    Attributes:
        address: `host:port` of Ray's control store.
        group: name of the run's placement group; empty: none, the process has Ray place its workers itself.
        nodes: workers of each node, by Ray's identifier of it.
        each: resources of a worker.
    """

    address: str
    group: str = ""
    nodes: Mapping[str, int] = field(default_factory=dict)
    each: Mapping[str, float] = field(default_factory=dict)

    def to_text(self) -> str:
        """For an environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Reserved | None:
        """What the agent left in the environment; None: this process has no part in a cluster's Ray."""
        text = environment.get(RAY, "")
        return cls(**json.loads(text)) if text else None


@contextmanager
def cluster_ray(reserved: Reserved, on_lost: Callable[[str], None]) -> Iterator[None]:
    """Be a driver of the cluster's Ray.

    Args:
        reserved: what the run has of it.
        on_lost: called, from another thread, when the head is gone. Ray itself would notice after a minute, and end
            this process without a word.
    """
    import ray

    os.environ.update(SETTINGS)
    signals = Signals.current()
    ray.init(
        address=reserved.address,
        namespace=NAMESPACE,
        log_to_driver=True,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": environment_of(os.environ) | {_WORKDIR: os.getcwd()}},
    )
    signals.restore()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the watcher says the same in one line
    over = threading.Event()
    threading.Thread(target=_watch, args=(reserved.address, on_lost, over), name="ray-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        ray.shutdown()


def go_where_the_driver_is() -> None:
    """Called where work begins in a process of a cluster's Ray: relative paths mean what they mean to the driver."""
    workdir = os.environ.get(_WORKDIR)
    if workdir:
        os.chdir(workdir)


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """What Ray's processes on other nodes get of this one's environment."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _NOT_FOR_OTHERS and not name.startswith("RAY_AUTH") and name != RAY
    }


def _watch(address: str, on_lost: Callable[[str], None], over: threading.Event) -> None:
    failed = 0
    while not over.wait(_PROBE_SECONDS):
        failed = 0 if _answers(address) else failed + 1
        if failed >= _PROBES and not over.is_set():
            on_lost("head")
            return


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _PROBE_TIMEOUT).close()
    except OSError:
        return False
    return True
