"""The command line of dev-cluster: what is asked for, and what is refused."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
from dataclasses import fields
from pathlib import Path

import daemons
import layout
import operations
import packages
import processes
from common.console import (
    FAILED,
    MISSING,
    OK,
    ClusterError,
    alone,
    await_end,
    log_of_failure,
    make_folder,
    note,
    run,
    take_down_after,
    undisturbed,
)
from common.ports import free_ports
from layout import Cluster, Size

_WHAT = "A real multi-node Slurm on one machine, for development and tests: up, down, and ways to break it."
_PATH_THAT_SLURM_READS = re.compile(r"[\w./+@:,=~^-]+", re.ASCII)

_COMMANDS = {
    "up": "bring up all that does not run, and wait until every node is ready",
    "down": "end every process of the cluster and remove every file of it",
    "status": "daemons, nodes, partitions, logs; exit code 0 where all is well",
    "env": 'what Slurm\'s commands need: eval "$(dev-cluster env)"',
    "kill-node": "a lost machine: its slurmd, its steps and everything under them",
    "kill-slurmd": "slurmd alone; its steps live on",
    "start-node": "slurmd again",
    "stop-accounting": "slurmdbd is lost",
    "start-accounting": "slurmdbd again",
    "restart-controller": "slurmctld is lost (SIGKILL) and comes back",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev-cluster", description=_WHAT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--at", type=Path, metavar="DIR", help=f"its state (default: {layout.default_folder()})")
        if name.endswith(("-node", "-slurmd")):
            command.add_argument("node", metavar="NAME", help="n1, n2, ...")
        if name == "kill-node":
            command.add_argument("--noticed", action="store_true", help="slurmctld is told, as by a health check")
        if name == "down":
            command.add_argument("--after", type=int, metavar="PID", help="wait for the end of this process first")
        if name == "up":
            command.add_argument("--while", dest="keeper", type=int, metavar="PID", help="down when this process ends")
            command.add_argument("--install", action="store_true", help="as root: install what is missing")
            for field in fields(Size):
                what = field.metadata["what"]
                command.add_argument(f"--{field.name}", type=int, metavar="N", help=f"{what} (default {field.default})")
    return parser


def main() -> int:
    """Run one command; its exit code."""
    options = _parser().parse_args()
    folder = Path(options.at or layout.default_folder()).absolute()
    return run(lambda: _run(folder, options))


def _run(folder: Path, options: argparse.Namespace) -> int:
    if options.command == "up":
        return _up(folder, options)
    if options.command == "down":
        return _down(folder, options.after)
    return _other(folder, options)


def _up(folder: Path, options: argparse.Namespace) -> int:
    wanted = {field.name: getattr(options, field.name) for field in fields(Size)}
    asked = {name: value for name, value in wanted.items() if value is not None}
    absent = packages.missing()
    if absent and options.install:
        _install(absent)
    elif absent:
        note(f"dev-cluster: {' '.join(absent)} not found; as root: apt-get install {' '.join(absent)}, or up --install")
        return MISSING
    if not _PATH_THAT_SLURM_READS.fullmatch(str(folder)):
        raise ClusterError(f"Slurm's files cannot name {str(folder)!r}: choose an --at of letters, digits and ./_-")
    make_folder(folder)
    with alone(folder):
        cluster = layout.load(folder)
        if cluster is None:
            return _first_up(folder, Size(**asked), options.keeper)
        differing = {name for name, value in asked.items() if value != getattr(cluster.size, name)}
        if differing:
            raise ClusterError(f"{folder} has another {', '.join(sorted(differing))}; `down` it first")
        if operations.is_whole(cluster):
            note(f"it runs: {cluster.size.nodes} nodes; {folder}")
            return OK
        with log_of_failure():
            operations.up(cluster)
        return OK


def _install(absent: tuple[str, ...]) -> None:
    try:
        packages.install(absent)
    except packages.InstallationError as error:
        note(f"dev-cluster: {error}; missing: {' '.join(absent)}")
        raise SystemExit(MISSING) from None


def _first_up(folder: Path, size: Size, keeper: int | None) -> int:
    problem = size.problem()
    if problem:
        raise ClusterError(problem)
    if any(folder.iterdir()):
        raise ClusterError(f"{folder} holds other things: choose an empty --at")
    cluster = Cluster(folder, size, free_ports(size.nodes + 2))
    cluster.save()
    if keeper is not None:
        take_down_after(folder, keeper)
    try:
        with log_of_failure():
            operations.up(cluster)
    except BaseException:
        with undisturbed():
            operations.down(cluster)
        raise
    return OK


def _other(folder: Path, options: argparse.Namespace) -> int:
    command, node = options.command, getattr(options, "node", "")
    cluster = layout.load(folder)
    if cluster is None:
        raise ClusterError(f"no cluster in {folder}: `dev-cluster up --at {folder}` makes one")
    if node and node not in cluster.nodes:
        raise ClusterError(f"there is no node {node!r}; there are {' '.join(cluster.nodes)}")
    if command == "status":
        return _status(cluster)
    if command == "env":
        _print_environment(cluster)
        return OK
    _refuse_from_within(cluster)
    with alone(folder), log_of_failure():
        _change(cluster, command, node)
        if command == "kill-node" and options.noticed:
            operations.tell_of_loss(cluster, node)
    return OK


def _down(folder: Path, after: int | None) -> int:
    cluster = Cluster(folder, Size(nodes=0), 0)  # also where the record cannot be read
    if after is not None:
        await_end(after, cluster.record)
    _refuse_from_within(cluster)
    if cluster.record.exists():
        with alone(folder), undisturbed():
            operations.down(cluster)
        return OK
    ended = operations.end_all(cluster)
    note(f"no cluster in {folder}" + (f"; {ended} processes of one that was there are ended" if ended else ""))
    return OK


def _refuse_from_within(cluster: Cluster) -> None:
    if processes.contains_us(cluster):
        raise ClusterError("a job of the cluster cannot do this to its own cluster: ask from outside")


def _change(cluster: Cluster, command: str, node: str) -> None:
    match command:
        case "kill-node":
            operations.kill_node(cluster, node)
        case "kill-slurmd":
            operations.kill(cluster, f"slurmd-{node}")
        case "start-node":
            daemons.bring(cluster, daemons.node(cluster, node))
            operations.await_nodes(cluster, (node,))
        case "stop-accounting":
            operations.kill(cluster, "slurmdbd")
        case "start-accounting":
            daemons.bring(cluster, daemons.accounting(cluster))
        case "restart-controller":
            operations.kill(cluster, "slurmctld")
            daemons.bring(cluster, daemons.controller(cluster))


def _status(cluster: Cluster) -> int:
    present = processes.daemons(cluster)
    lines = [f"{daemon.role:12} {present.get(daemon.role, 'does not run')}" for daemon in daemons.everything(cluster)]
    try:
        states = operations.node_states(cluster)
        lines += [f"{name:12} {state}" for name, state in states.items()] + [operations.partitions(cluster).rstrip()]
    except ClusterError as error:
        lines.append(str(error))
    lines += [f"SLURM_CONF={cluster.slurm_conf}", f"logs: {cluster.logs}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return OK if operations.is_whole(cluster) else FAILED


def _print_environment(cluster: Cluster) -> None:
    lines = [f"export SLURM_CONF={shlex.quote(str(cluster.slurm_conf))}"]
    if shutil.which("sbatch") is None:
        lines.append(f"export PATH={shlex.quote(packages.PATH)}")
    sys.stdout.write("\n".join(lines) + "\n")
