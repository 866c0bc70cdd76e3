"""What a development cluster of Ray consists of and where its files lie."""

from __future__ import annotations

import json
import os
import pwd
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

HEAD = "head"
RECORD = "cluster.json"
_NODES_OF_A_RACK = 2
_LABEL = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", re.ASCII)
NUMBERS = range(2, 250)
"""The second byte of a cluster's addresses: 127.2.0.1, ...; 127.0 and 127.1 are what people and other programs use."""


@dataclass(frozen=True)
class Size:
    """How many machines are pretended, and how large each is."""

    nodes: int = field(default=2, metadata={"what": "nodes"})
    cpus: int = field(default=4, metadata={"what": "declared CPUs of a node, whatever the machine has"})
    gpus: int = field(default=2, metadata={"what": "pretended GPUs of a node"})
    most_nodes: int = field(default=0, metadata={"what": "nodes that Ray's autoscaler may bring; 0: there is none"})
    gpu_type: str = field(default="H200", metadata={"what": "their type, the label ray.io/accelerator-type"})

    def problem(self) -> str | None:
        """What is wrong with it, None where nothing is."""
        for name, least, most in (("nodes", 0, 64), ("cpus", 0, 1_024), ("gpus", 0, 64), ("most_nodes", 0, 64)):
            if not least <= getattr(self, name) <= most:
                return f"--{name.replace('_', '-')} is from {least} to {most}"
        if self.most_nodes and self.nodes:
            return "--most-nodes is for a cluster that begins with --nodes 0"
        if not _LABEL.fullmatch(self.gpu_type):
            return "--gpu-type is a label of Ray's: letters, digits, and ._- between them"
        return None


@dataclass(frozen=True)
class Node:
    """A pretended machine."""

    number: int
    cpus: int
    gpus: int
    gpu_type: str

    @property
    def name(self) -> str:
        """n1, n2, ..."""
        return f"n{self.number}"

    @property
    def labels(self) -> dict[str, str]:
        """What Ray is told about it."""
        rack = {"rack": f"r{(self.number - 1) // _NODES_OF_A_RACK + 1}"}
        return {"ray.io/accelerator-type": self.gpu_type, **rack} if self.gpus else rack


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes:
        folder: all that it keeps, but for what Ray writes.
        size: what it was brought up with.
        number: the second byte of its addresses; no two clusters of one machine have the same.
        first_port: of the three of the head: Ray's own (GCS), the dashboard's, and one for figures of the autoscaler.
        python: the interpreter that has Ray.
        nodes: those that there are, running or not.
    """

    folder: Path
    size: Size
    number: int
    first_port: int
    python: str
    nodes: tuple[Node, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(node.name for node in self.nodes)

    def node(self, name: str) -> Node:
        """A node by its name."""
        return next(node for node in self.nodes if node.name == name)

    def address(self, name: str) -> str:
        """The IP address of the head or of a node."""
        return f"127.{self.number}.0.1" if name == HEAD else f"127.{self.number}.1.{self.node(name).number}"

    @property
    def gcs(self) -> str:
        """What RAY_ADDRESS names."""
        return f"{self.address(HEAD)}:{self.first_port}"

    @property
    def dashboard_port(self) -> int:
        """Where the dashboard listens."""
        return self.first_port + 1

    @property
    def dashboard(self) -> str:
        """What RAY_API_SERVER_ADDRESS names."""
        return f"http://{self.address(HEAD)}:{self.dashboard_port}"

    @property
    def token_file(self) -> Path:
        """The secret without which this Ray answers nobody."""
        return self.folder / "token"

    @property
    def runtime(self) -> Path:
        """What Ray writes: a short path, as its sockets ask for, that no two clusters have."""
        return runtime_of(self.number)

    def session(self, name: str) -> Path:
        """What Ray writes on the head or on a node."""
        return self.runtime / name

    @property
    def logs(self) -> Path:
        """What was said as the head and the nodes began, and by their keepers; Ray's own logs lie in its sessions."""
        return self.folder / "log"

    @property
    def record(self) -> Path:
        """What `up` writes down for the other commands; a folder without it is not ours."""
        return self.folder / RECORD

    def with_nodes(self, *nodes: Node) -> Cluster:
        """The same with these nodes, written down."""
        changed = replace(self, nodes=nodes)
        changed.save()
        return changed

    def save(self) -> None:
        """Write all of it down."""
        fields = {name: value for name, value in asdict(self).items() if name != "folder"}
        fresh = self.record.with_suffix(".new")
        fresh.write_text(f"{json.dumps(fields, indent=1)}\n")
        fresh.replace(self.record)


def load(folder: Path) -> Cluster | None:
    """The cluster of a folder, None where none was brought up there."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    size, nodes = Size(**record.pop("size")), tuple(Node(**node) for node in record.pop("nodes"))
    return Cluster(folder, size, nodes=nodes, **record)


def runtime_of(number: int) -> Path:
    """Where the cluster of this number has what Ray writes; who makes this folder has the number."""
    return Path("/tmp") / f"dev-ray-{number}"


def default_folder() -> Path:
    """Under the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache"
    return Path(base) / "orchestrator" / "dev-ray"
