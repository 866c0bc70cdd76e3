"""What can be done with a development cluster: bring it up, look at it, break parts of it, take it down."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import machines
import processes
import rest
from common.console import ClusterError, note
from common.process_tree import end
from layout import HEAD, Cluster, Node


def up(cluster: Cluster) -> None:
    """Bring up all that does not run, and wait until Ray has every node.

    Raises:
        ClusterError: Something does not come up.
    """
    began = time.monotonic()
    cluster.logs.mkdir(exist_ok=True)
    if not cluster.token_file.exists():
        cluster.token_file.touch(mode=0o600)
        cluster.token_file.write_text(secrets.token_hex(32))
    present = processes.keepers(cluster.folder)
    start(cluster, *(name for name in (HEAD, *cluster.names) if name not in present))
    _bring_back(cluster)
    note(f"{time.monotonic() - began:4.1f} s  {len(cluster.nodes)} nodes are ready; {cluster.folder}")


def start_head(cluster: Cluster) -> None:
    """Start the head, and wait until it has the nodes that run.

    Raises:
        ClusterError: It does not answer, or does not get them.
    """
    start(cluster, HEAD)
    _bring_back(cluster)


def _bring_back(cluster: Cluster) -> None:
    """Start nodes again that another head knew; their raylets themselves notice after 3 to 60 s."""
    present, seen = processes.keepers(cluster.folder), rest.alive(cluster)
    names = [name for name in cluster.names if name in present]
    for name in names:
        if name not in seen:
            os.kill(present[name], signal.SIGHUP)
    _await_alive(cluster, *names)


def start(cluster: Cluster, *names: str) -> None:
    """Start machines, all at once, and wait until Ray has each of them alone under its name.

    Raises:
        ClusterError: One does not come up.
    """
    began = time.time()
    started = {name: machines.switch_on(cluster, name) for name in names}

    def ready(name: str) -> bool:
        seen = rest.alive(cluster).get(name, [])
        return len(seen) == 1 and seen[0].since >= began

    machines.await_ready(cluster, started, ready)


def _await_alive(cluster: Cluster, *names: str) -> None:
    """Wait until Ray has these nodes.

    Raises:
        ClusterError: It does not.
    """
    until = time.monotonic() + machines.PATIENCE
    while missing := [name for name in names if len(rest.alive(cluster).get(name, ())) != 1]:
        if time.monotonic() > until:
            raise ClusterError(f"{' '.join(missing)} did not join", machines.log(cluster, missing[0]))
        time.sleep(0.1)


def add_nodes(cluster: Cluster, count: int, cpus: int | None, gpus: int | None) -> tuple[Node, ...]:
    """Start more nodes, all at once; which they are.

    Raises:
        ClusterError: Not all of them come up; then none is there.
    """
    size = cluster.size
    cpus, gpus = size.cpus if cpus is None else cpus, size.gpus if gpus is None else gpus
    first = max((node.number for node in cluster.nodes), default=0) + 1
    fresh = tuple(Node(number, cpus, gpus, size.gpu_type) for number in range(first, first + count))
    larger = cluster.with_nodes(*cluster.nodes, *fresh)
    try:
        start(larger, *(node.name for node in fresh))
    except BaseException:
        for node in fresh:
            end_machine(cluster.folder, node.name)
        cluster.save()
        raise
    return fresh


def remove_node(cluster: Cluster, name: str, deadline: int) -> None:
    """Drain a node, end it when nothing runs there any more or at the deadline, and forget it."""
    seen = rest.alive(cluster).get(name, [])
    if name in processes.keepers(cluster.folder) and seen:
        _drain(cluster, seen[0].id, deadline)
        until = time.monotonic() + deadline
        while name in processes.keepers(cluster.folder) and time.monotonic() < until:
            time.sleep(0.1)
    left = end_machine(cluster.folder, name)
    cluster.with_nodes(*(node for node in cluster.nodes if node.name != name))
    note(f"{name} is drained and gone" + (f"; {left} processes were ended at the deadline" if left else ""))


def _drain(cluster: Cluster, node_id: str, deadline: int) -> None:
    why = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=remove-node")
    what = (f"--address={cluster.gcs}", f"--node-id={node_id}", f"--deadline-remaining-seconds={deadline}")
    command = machines.ray(cluster, "drain-node", *what, *why)
    variables = machines.environment(cluster)
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise ClusterError(f"Ray does not drain it: {done.stderr.strip()}")


def kill(cluster: Cluster, name: str) -> None:
    """SIGKILL all that runs on a node or on the head at once, as when a machine is lost."""
    ended = end_machine(cluster.folder, name)
    note(f"{name} is lost: {ended} processes ended" if ended else f"{name} did not run")


def end_machine(folder: Path, name: str) -> int:
    """End all that runs on a machine; how many processes there were."""
    return _end(lambda: processes.of_machine(folder, name))


def is_whole(cluster: Cluster) -> bool:
    """Whether the head answers and has every node."""
    present, seen = processes.keepers(cluster.folder), rest.alive(cluster)
    return all(name in present and len(seen.get(name, ())) == 1 for name in (HEAD, *cluster.names))


def down(cluster: Cluster) -> None:
    """End every process of the cluster and remove every file of it."""
    ended = end_all(cluster.folder)
    shutil.rmtree(cluster.runtime, ignore_errors=True)
    shutil.rmtree(cluster.folder, ignore_errors=True)
    if cluster.folder.exists():
        raise ClusterError(f"{cluster.folder} cannot be removed")
    note(f"down: {ended} processes ended; {cluster.folder} is gone")


def end_all(folder: Path) -> int:
    """End every process of the cluster of a folder; how many there were."""
    return _end(lambda: processes.of_cluster(folder))


def _end(find: Callable[[], set[int]]) -> int:
    try:
        return end(find)
    except TimeoutError as error:
        raise ClusterError(str(error)) from None
