"""What a Slurm has and lacks, found out once for each server."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.backends.slurm.commands import Slurm

_SETTING = re.compile(r"^(\w+)\s*=\s(.*)$", re.MULTILINE)
_NEEDED = {
    "sbatch": "nothing can be submitted",
    "squeue": "nothing can be watched",
    "scancel": "nothing can be cancelled",
    "scontrol": "nodes and partitions are unknown, and nothing can be held or released",
}
_SHORTEST_MEMORY = 60.0


@dataclass(frozen=True)
class Probe:
    """One Slurm.

    Attributes:
        version: such as `22.05.8`.
        cluster: its name.
        accounting: there is a database that sacct asks.
        memory: seconds that the queue still shows jobs that are over (MinJobAge).
        kill_wait: seconds from the signal that ends a job to SIGKILL.
        lacks: what is missing, and what does not work because of it, in words.
    """

    version: str = ""
    cluster: str = ""
    accounting: bool = True
    memory: float = 300.0
    kill_wait: float = 30.0
    lacks: tuple[str, ...] = ()


def probe(slurm: Slurm) -> Probe:
    """Ask Slurm for its configuration, and look for its programs.

    Raises:
        BackendUnavailable: it does not answer.
    """
    return read(slurm.read("scontrol", "show", "config").out, missing_programs(slurm), slurm.path("sacct") is not None)


def missing_programs(slurm: Slurm) -> tuple[str, ...]:
    """Programs without which this engine does not work, each with what then does not."""
    return tuple(f"{program} is missing: {what}" for program, what in _NEEDED.items() if slurm.path(program) is None)


def read(text: str, missing: tuple[str, ...] = (), sacct: bool = True) -> Probe:
    """What `scontrol show config` printed; `sacct`: that program is there."""
    settings = {name: value.strip() for name, value in _SETTING.findall(text)}
    storage = settings.get("AccountingStorageType", "none").rpartition("/")[2]
    stored = storage not in {"none", "(null)", ""}
    memory = _seconds(settings.get("MinJobAge", ""), 300.0)
    lacks = list(missing)
    if not stored:
        lacks.append("there is no accounting (slurmdbd): how a job ended is known only while squeue still shows it")
    elif not sacct:
        lacks.append("sacct is missing: how a job ended is known only while squeue still shows it")
    if memory < _SHORTEST_MEMORY and lacks[len(missing) :]:
        lacks.append(
            f"squeue shows jobs that are over for {memory:g} s only; raise MinJobAge in slurm.conf to 60 or more"
        )
    return Probe(
        version=settings.get("SLURM_VERSION", ""),
        cluster=settings.get("ClusterName", ""),
        accounting=stored and sacct,
        memory=memory,
        kill_wait=_seconds(settings.get("KillWait", ""), 30.0),
        lacks=tuple(lacks),
    )


def _seconds(text: str, default: float) -> float:
    """The number of `300 sec`."""
    found = re.match(r"\d+", text)
    return float(found[0]) if found else default
