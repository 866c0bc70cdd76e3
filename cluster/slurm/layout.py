"""What a development cluster consists of and where its files lie."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from dataclasses import asdict, dataclass, field
from pathlib import Path

_RECORD = "cluster.json"


@dataclass(frozen=True)
class Size:
    """How many machines are pretended, and how large each is."""

    nodes: int = field(default=3, metadata={"what": "nodes"})
    gpus: int = field(default=2, metadata={"what": "pretended GPUs of a node"})
    cpus: int = field(default=4, metadata={"what": "declared CPUs of a node, whatever the machine has"})
    memory: int = field(default=64_000, metadata={"what": "declared memory of a node, in MiB"})

    def problem(self) -> str | None:
        """What is wrong with it, None where nothing is."""
        for name, least, most in (("nodes", 1, 64), ("gpus", 0, 64), ("cpus", 1, 1_024), ("memory", 64, 2**24)):
            if not least <= getattr(self, name) <= most:
                return f"--{name} is from {least} to {most}"
        return None


@dataclass(frozen=True)
class Cluster:
    """One cluster: its folder, its size and the first of its ports.

    Ports in order: slurmctld, slurmdbd, then one for each node.
    """

    folder: Path
    size: Size
    first_port: int

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes: n1, n2, ..."""
        return tuple(f"n{number}" for number in range(1, self.size.nodes + 1))

    @property
    def controller_port(self) -> int:
        """Where slurmctld listens."""
        return self.first_port

    @property
    def accounting_port(self) -> int:
        """Where slurmdbd listens."""
        return self.first_port + 1

    def node_port(self, node: str) -> int:
        """Where a node's slurmd listens."""
        return self.first_port + 2 + self.nodes.index(node)

    @property
    def runtime(self) -> Path:
        """A folder with a short path that any user can walk to: sockets ask for that, and no --at need have it."""
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        return Path("/tmp") / f"dev-slurm-{_owner(self.folder)}-{digest}"

    @property
    def munge_socket(self) -> Path:
        """Where munged listens."""
        return self.runtime / "munge" / "socket"

    @property
    def database_socket(self) -> Path:
        """Where mariadbd listens."""
        return self.runtime / "database" / "socket"

    @property
    def slurm_conf(self) -> Path:
        """The file for SLURM_CONF."""
        return self.folder / "etc" / "slurm.conf"

    @property
    def logs(self) -> Path:
        """A daemon's output is in ROLE.out; Slurm's daemons keep a ROLE.log beside it, with the time of each line."""
        return self.folder / "log"

    @property
    def record(self) -> Path:
        """What `up` writes down for the other commands; a folder without it is not ours."""
        return self.folder / _RECORD

    def save(self) -> None:
        """Write size and ports down."""
        text = json.dumps({"size": asdict(self.size), "first_port": self.first_port}, indent=1)
        fresh = self.record.with_suffix(".new")
        fresh.write_text(f"{text}\n")
        fresh.replace(self.record)


def load(folder: Path) -> Cluster | None:
    """The cluster of a folder, None where none was brought up there."""
    try:
        record = json.loads((folder / _RECORD).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Cluster(folder, Size(**record["size"]), record["first_port"])


def _owner(folder: Path) -> int:
    try:
        return folder.stat().st_uid
    except OSError:
        return os.getuid()


def default_folder() -> Path:
    """Under the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache"
    return Path(base) / "orchestrator" / "dev-slurm"
