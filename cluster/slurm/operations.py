"""What can be done with a development cluster: bring it up, look at it, break parts of it, take it down."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import configuration
import daemons
import processes
from common.console import ClusterError, note
from common.process_tree import end
from layout import Cluster

_NOT_READY = ("down", "unknown", "inval", "future", "fail")
_ALREADY = re.compile(r"already exists|nothing new added", re.IGNORECASE)


def up(cluster: Cluster) -> None:
    """Bring up all that does not run, and wait until every node is ready for jobs.

    Raises:
        ClusterError: Something does not come up.
    """
    began = time.monotonic()

    def bring(*wanted: daemons.Daemon) -> None:
        started = daemons.bring(cluster, *wanted)
        if started:
            note(f"{time.monotonic() - began:4.1f} s  {' '.join(started)}")

    _prepare(cluster)
    _install_database(cluster)
    bring(daemons.munged(cluster), daemons.database(cluster))
    bring(daemons.accounting(cluster))
    _set_up_accounting(cluster)
    bring(daemons.controller(cluster), *(daemons.node(cluster, name) for name in cluster.nodes))
    await_nodes(cluster, cluster.nodes)
    note(f"{time.monotonic() - began:4.1f} s  {cluster.size.nodes} nodes are ready; {cluster.folder}")


def is_whole(cluster: Cluster) -> bool:
    """Whether every daemon runs and every node is there."""
    present = processes.daemons(cluster)
    if any(daemon.role not in present for daemon in daemons.everything(cluster)):
        return False
    states = _states_or_none(cluster)
    return all(is_ready(states.get(name, "unknown")) for name in cluster.nodes)


def _prepare(cluster: Cluster) -> None:
    runtime = cluster.runtime
    runtime.mkdir(exist_ok=True)
    if runtime.is_symlink() or runtime.stat().st_uid != os.getuid():
        raise ClusterError(f"{runtime} is not yours: remove it, or choose another --at")
    database, munge = cluster.database_socket.parent, cluster.munge_socket.parent
    for path, mode in ((runtime, 0o711), (munge, 0o711), (database, 0o700)):
        path.mkdir(exist_ok=True)
        path.chmod(mode)
    key = munge / "key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
    configuration.write(cluster)


def _install_database(cluster: Cluster) -> None:
    folder = cluster.folder / "database"
    if (folder / "mysql_upgrade_info").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    user = configuration.user_name()
    options = {
        "user": user,
        "datadir": folder,
        "auth-root-authentication-method": "socket",
        "auth-root-socket-user": user,
        "innodb-log-file-size": "16M",
        "innodb-flush-method": "nosync",
        "performance-schema": "OFF",
    }
    arguments = (f"--{name}={value}" for name, value in options.items())
    command = ("mariadb-install-db", "--no-defaults", "--skip-test-db", *arguments)
    log = cluster.logs / "mariadbd.out"
    with log.open("ab") as output:
        variables = daemons.environment(cluster, "mariadb-install-db")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=variables)
    if done.returncode:
        raise ClusterError(f"mariadb-install-db ended with {done.returncode}", log)


def _set_up_accounting(cluster: Cluster) -> None:
    if (cluster.folder / "state" / "clustername").exists():  # slurmctld has run here
        return
    user, accounts = configuration.user_name(), ",".join(configuration.ACCOUNTS)
    for arguments in (
        ("add", "cluster", configuration.CLUSTER_NAME),
        ("add", "qos", "high", "Priority=1000"),
        ("add", "account", accounts),
        ("add", "user", user, f"Account={accounts}", "DefaultAccount=lab", "QosLevel=normal,high", "DefaultQOS=normal"),
    ):
        _slurm(cluster, "sacctmgr", "--immediate", "--quiet", *arguments)


def _slurm(cluster: Cluster, *command: str) -> str:
    variables = daemons.environment(cluster, command[0])
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command)} does not end", cluster.logs / "slurmctld.out") from None
    if done.returncode and not _ALREADY.search(done.stdout + done.stderr):
        raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def node_states(cluster: Cluster) -> dict[str, str]:
    """The state of each node, in Slurm's words ("idle", "mixed", "down*", ...; a star: it does not answer)."""
    lines = _slurm(cluster, "sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
    return {words[0]: words[1] for words in sorted(line.split() for line in lines)}


def partitions(cluster: Cluster) -> str:
    """One line for each partition."""
    return _slurm(cluster, "sinfo", "--format=%10P %5a %10l %6D %12G %p")


def is_ready(state: str) -> bool:
    """Whether slurmctld hears the node (a drained one, too)."""
    return not state.endswith("*") and not state.startswith(_NOT_READY)


def await_nodes(cluster: Cluster, names: tuple[str, ...], patience: float = 30.0) -> None:
    """Wait until slurmctld believes in the nodes.

    Raises:
        ClusterError: A daemon ended meanwhile, or some node is still not ready after `patience` seconds.
    """
    needed = {"slurmctld", *(f"slurmd-{name}" for name in names)}
    until = time.monotonic() + patience
    while not all(is_ready(_states_or_none(cluster).get(name, "unknown")) for name in names):
        for role in sorted(needed - processes.daemons(cluster).keys()):
            raise ClusterError(f"{role} ended as it began", cluster.logs / f"{role}.out")
        if time.monotonic() > until:
            states = _states_or_none(cluster)
            raise ClusterError(f"not all nodes are ready after {patience:.0f} s: {states}", _first_log(cluster, names))
        time.sleep(0.05)


def _first_log(cluster: Cluster, names: tuple[str, ...]) -> Path:
    states = _states_or_none(cluster)
    late = [name for name in names if not is_ready(states.get(name, "unknown"))]
    return cluster.logs / f"slurmd-{(late or names)[0]}.out"


def _states_or_none(cluster: Cluster) -> dict[str, str]:
    try:
        return node_states(cluster)
    except ClusterError:
        return {}


def down(cluster: Cluster) -> None:
    """End every process of the cluster and remove every file of it."""
    ended = end_all(cluster)
    shutil.rmtree(cluster.folder, ignore_errors=True)
    if cluster.folder.exists():
        raise ClusterError(f"{cluster.folder} cannot be removed")
    note(f"down: {ended} processes ended; {cluster.folder} is gone")


def end_all(cluster: Cluster) -> int:
    """End every process of the cluster and remove what lies outside its folder; how many processes there were."""
    ended = _end(lambda: processes.of_cluster(cluster))
    shutil.rmtree(cluster.runtime, ignore_errors=True)
    return ended


def kill(cluster: Cluster, role: str) -> None:
    """SIGKILL one daemon and nothing under it."""
    ended = _end(lambda: {pid for name, pid in processes.daemons(cluster).items() if name == role})
    note(f"{role} killed" if ended else f"{role} did not run")


def kill_node(cluster: Cluster, node: str) -> None:
    """SIGKILL a node's slurmd and everything under its steps at once, as a lost machine would."""
    ended = _end(lambda: processes.of_node(cluster, node))
    note(f"{node} is lost: {ended} processes ended")


def tell_of_loss(cluster: Cluster, node: str) -> None:
    """Tell slurmctld at once what it would notice after 15 seconds."""
    _slurm(cluster, "scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")


def _end(find: Callable[[], set[int]]) -> int:
    try:
        return end(find)
    except TimeoutError as error:
        raise ClusterError(str(error)) from None
