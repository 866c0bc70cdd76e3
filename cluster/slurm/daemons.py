"""The daemons of a cluster: what each is started with, and when it is ready."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import processes
from common.console import ClusterError
from configuration import user_name
from layout import Cluster
from packages import PATH


@dataclass(frozen=True)
class Daemon:
    """One daemon: `ready` is asked until it says yes."""

    role: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)


def munged(cluster: Cluster) -> Daemon:
    """Who says who is who, with a key of its own."""
    folder = cluster.munge_socket.parent
    files = {"key-file": "key", "pid-file": "pid", "seed-file": "seed", "socket": cluster.munge_socket.name}
    options = (f"--{option}={folder / name}" for option, name in files.items())
    return Daemon("munged", ("munged", "--foreground", *options), lambda: _answers(cluster.munge_socket))


def database(cluster: Cluster) -> Daemon:
    """MariaDB for slurmdbd: a socket and no network, and no time spent on surviving a loss of power."""
    options = {
        "datadir": cluster.folder / "database",
        "socket": cluster.database_socket,
        "pid-file": cluster.folder / "run" / "mariadbd.pid",
        "user": user_name(),
        "innodb-buffer-pool-size": "64M",
        "innodb-log-file-size": "16M",
        "innodb-lock-wait-timeout": 900,
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-flush-method": "nosync",
        "performance-schema": "OFF",
    }
    arguments = (f"--{name}={value}" for name, value in options.items())
    command = ("mariadbd", "--no-defaults", "--skip-networking", "--skip-log-bin", *arguments)
    return Daemon("mariadbd", command, lambda: _answers(cluster.database_socket))


def accounting(cluster: Cluster) -> Daemon:
    """Slurmdbd; it finds the database through a variable of the client library, as it has no option for a socket."""
    variables = {"MYSQL_UNIX_PORT": str(cluster.database_socket)}
    return Daemon("slurmdbd", ("slurmdbd", "-D"), lambda: _listens(cluster.accounting_port), variables)


def controller(cluster: Cluster) -> Daemon:
    """Slurmctld."""
    return Daemon("slurmctld", ("slurmctld", "-D"), lambda: _listens(cluster.controller_port))


def node(cluster: Cluster, name: str) -> Daemon:
    """The slurmd of one node."""
    return Daemon(f"slurmd-{name}", ("slurmd", "-D", "-N", name), lambda: _listens(cluster.node_port(name)))


def everything(cluster: Cluster) -> tuple[Daemon, ...]:
    """All daemons in the order in which they need each other."""
    nodes = (node(cluster, name) for name in cluster.nodes)
    return (munged(cluster), database(cluster), accounting(cluster), controller(cluster), *nodes)


def environment(cluster: Cluster, role: str) -> dict[str, str]:
    """For a daemon or a command of the cluster: Slurm's configuration, and the marks by which `down` finds it."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TZ") if name in os.environ}
    marks = {processes.MARK: str(cluster.folder), processes.ROLE: role}
    return {**kept, "PATH": PATH, "SLURM_CONF": str(cluster.slurm_conf), **marks}


def bring(cluster: Cluster, *wanted: Daemon) -> tuple[str, ...]:
    """Start those that do not run, all at once, and wait until each answers; which they were.

    Raises:
        ClusterError: One ended instead, or did not answer in time.
    """
    present = processes.daemons(cluster)
    started = [(daemon, _start(cluster, daemon)) for daemon in wanted if daemon.role not in present]
    for daemon, process in started:
        _await(cluster, daemon, process)
    return tuple(daemon.role for daemon, _ in started)


def _start(cluster: Cluster, daemon: Daemon) -> subprocess.Popen[bytes]:
    with (cluster.logs / f"{daemon.role}.out").open("ab") as output:
        return subprocess.Popen(
            daemon.command,
            env={**environment(cluster, daemon.role), **daemon.environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await(cluster: Cluster, daemon: Daemon, process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    log = cluster.logs / f"{daemon.role}.out"
    until = time.monotonic() + patience
    while not daemon.ready():
        if process.poll() is not None:
            raise ClusterError(f"{daemon.role} ended with {process.returncode} as it began", log)
        if time.monotonic() > until:
            raise ClusterError(f"{daemon.role} does not answer after {patience:.0f} s", log)
        time.sleep(0.02)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
