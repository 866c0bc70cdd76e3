"""The command line of dev-cluster: what is asked for, and what is refused."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import layout
import machines
import numbers_of_clusters
import operations
import processes
import rest
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
from layout import HEAD, Cluster, Node, Size

_WHAT = "A real multi-node Ray on one machine, for development and tests: up, down, and ways to break it."
_COMMANDS = {
    "up": "bring up all that does not run, and wait until Ray has every node",
    "down": "end every process of the cluster and remove every file of it",
    "status": "head and nodes, what Ray says of them, logs; exit code 0 where all is well",
    "env": 'what Ray\'s commands and drivers need: eval "$(dev-cluster env)"',
    "add-node": "one more node, or several; prints their names",
    "kill-node": "a lost machine: all that runs there is killed at once",
    "start-node": "the lost machine again",
    "remove-node": "a node is drained, ended in good order and forgotten",
    "kill-head": "the head is lost, and with it all that Ray knew",
    "start-head": "the head again: same address, same token, no memory; the nodes come back by themselves",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev-cluster", description=_WHAT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--at", type=Path, metavar="DIR", help=f"its state (default: {layout.default_folder()})")
        if name in ("kill-node", "start-node", "remove-node"):
            command.add_argument("node", metavar="NAME", help="n1, n2, ...")
        if name == "down":
            command.add_argument("--after", type=int, metavar="PID", help="wait for the end of this process first")
        if name == "up":
            command.add_argument("--while", dest="keeper", type=int, metavar="PID", help="down when this process ends")
            command.add_argument("--python", metavar="FILE", help="the interpreter that has Ray (default: is found)")
        if name == "add-node":
            command.add_argument("--count", type=int, default=1, metavar="N", help="so many, all at once (1)")
        if name == "remove-node":
            command.add_argument("--deadline", type=int, default=20, metavar="S", help="ended then at the latest (20)")
        for field in fields(Size):
            if name == "up" or (name == "add-node" and field.name in ("cpus", "gpus")):
                what = f"{field.metadata['what']} (default {field.default})"
                command.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), help=what)
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
    python = options.python or machines.python_with_ray()
    if python is None:
        note("dev-cluster: Ray not found; `make setup` in the repository, or pip install 'orchestrator[ray]'")
        return MISSING
    make_folder(folder)
    with alone(folder):
        cluster = layout.load(folder)
        if cluster is None:
            return _first_up(folder, Size(**asked), python, options.keeper)
        differing = {name for name, value in asked.items() if value != getattr(cluster.size, name)}
        if differing:
            raise ClusterError(f"{folder} has another {', '.join(sorted(differing))}; `down` it first")
        if operations.is_whole(cluster):
            note(f"it runs: {len(cluster.nodes)} nodes; {folder}")
            return OK
        with log_of_failure():
            operations.up(cluster)
        return OK


def _first_up(folder: Path, size: Size, python: str, keeper: int | None) -> int:
    problem = size.problem()
    if problem:
        raise ClusterError(problem)
    if any(folder.iterdir()):
        raise ClusterError(f"{folder} holds other things: choose an empty --at")
    nodes = tuple(Node(number, size.cpus, size.gpus, size.gpu_type) for number in range(1, size.nodes + 1))
    cluster = Cluster(folder, size, numbers_of_clusters.take(folder), free_ports(3), python, nodes)
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


def _down(folder: Path, after: int | None) -> int:
    record = folder / layout.RECORD
    if after is not None:
        await_end(after, record)
    if processes.contains_us(folder):
        raise ClusterError("a job of the cluster cannot do this to its own cluster: ask from outside")
    cluster = layout.load(folder)
    if cluster is not None:
        with alone(folder), undisturbed():
            operations.down(cluster)
        return OK
    ended = operations.end_all(folder)
    note(f"no cluster in {folder}" + (f"; {ended} processes of one that was there are ended" if ended else ""))
    return OK


def _other(folder: Path, options: argparse.Namespace) -> int:
    cluster = layout.load(folder)
    if cluster is None:
        raise ClusterError(f"no cluster in {folder}: `dev-cluster up --at {folder}` makes one")
    if options.command == "status":
        return _status(cluster)
    if options.command == "env":
        _print_environment(cluster)
        return OK
    if options.command not in ("add-node", "remove-node") and processes.contains_us(folder):  # the autoscaler's
        raise ClusterError("a job of the cluster cannot do this to its own cluster: ask from outside")
    with alone(folder), log_of_failure():
        cluster = layout.load(folder) or cluster  # as another command has left it
        node = getattr(options, "node", None)
        if node is not None and node not in cluster.names:
            raise ClusterError(f"there is no node {node!r}; there are {' '.join(cluster.names) or 'none'}")
        _change(cluster, options)
    return OK


def _change(cluster: Cluster, options: argparse.Namespace) -> None:
    present = processes.keepers(cluster.folder)
    if options.command in ("add-node", "start-node", "remove-node") and HEAD not in present:
        raise ClusterError("the head does not run: `dev-cluster start-head` first")
    match options.command:
        case "add-node":
            added = operations.add_nodes(cluster, options.count, options.cpus, options.gpus)
            sys.stdout.write("".join(f"{node.name}\n" for node in added))
        case "kill-node":
            operations.kill(cluster, options.node)
        case "start-node":
            if options.node not in present:
                operations.start(cluster, options.node)
        case "remove-node":
            operations.remove_node(cluster, options.node, options.deadline)
        case "kill-head":
            operations.kill(cluster, HEAD)
        case "start-head":
            if HEAD not in present:
                operations.start_head(cluster)


def _status(cluster: Cluster) -> int:
    present = processes.keepers(cluster.folder)
    try:
        seen, problem = rest.alive_or_error(cluster), ""
    except ClusterError as error:
        seen, problem = {}, str(error)
    lines = []
    for name in (HEAD, *cluster.names):
        found = seen.get(name, [])
        state = "does not run" if name not in present else "ALIVE" if found else "starts"
        resources = found[0].resources if found else {}
        units = "  ".join(f"{unit} {resources.get(unit, 0):g}" for unit in ("CPU", "GPU"))
        lines.append(f"{name:6} {state:13} {cluster.address(name):12} {units if found else ''}".rstrip())
    lines += [*filter(None, [problem]), f"RAY_API_SERVER_ADDRESS={cluster.dashboard}", f"logs: {cluster.logs}"]
    lines.append(f"Ray's own: {cluster.runtime}/NAME/session_latest/logs")
    sys.stdout.write("\n".join(lines) + "\n")
    return OK if operations.is_whole(cluster) else FAILED


def _print_environment(cluster: Cluster) -> None:
    variables = {
        "RAY_API_SERVER_ADDRESS": cluster.dashboard,
        "RAY_ADDRESS": cluster.gcs,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(cluster.token_file),
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    sys.stdout.write("\n".join([*lines, "unset RAY_AUTH_TOKEN"]) + "\n")
