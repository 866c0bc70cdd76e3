"""What a Slurm cluster has: its nodes and partitions, as scontrol prints them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.backends.slurm.tables import Table, node_names
from orchestrator.base.text import one_line

_MIB = 2**20
_KEY = re.compile(r"(?:^|\s)([A-Z][A-Za-z0-9_]*)=")
_GRES = re.compile(r"([A-Za-z0-9_.-]+)(?::([A-Za-z0-9_.-]*[A-Za-z_.-][A-Za-z0-9_.-]*))?:(\d+)(?:\([^)]*\))?")
_MEMORY = re.compile(r"(?:^|,)mem=([0-9.]+)([KMGTP])")
_UNITS = {unit: 2 ** (10 * power) for power, unit in enumerate("KMGTP", start=1)}
_UNKNOWN_MEMORY = 2**50
_TRES = re.compile(r"(?:^|,)gres/([^=,]+)=(\d+)")
_TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
_MARKS = {
    "*": "NOT_RESPONDING",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "!": "POWER_DOWN",
    "%": "POWERING_DOWN",
    "$": "MAINT",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "-": "PLANNED",
}
"""What older versions put behind a state."""
_UNUSABLE = frozenset(
    {
        *("DOWN", "ERROR", "FAIL", "FAILING", "FUTURE", "INVAL", "INVALID_REG", "NOT_RESPONDING", "UNKNOWN"),
        *("DRAIN", "DRAINED", "DRAINING", "MAINT", "POWER_DOWN", "POWERING_DOWN", "REBOOT_ISSUED"),
    }
)


@dataclass(frozen=True)
class NodeRow:
    """One node.

    Attributes:
        name: of Slurm.
        address: where it is reached.
        states: base state and flags, such as `IDLE`, `DRAIN`.
        cpus: cores that jobs may use.
        cpus_used: that jobs have.
        memory: bytes that jobs may use.
        memory_used: bytes that jobs have.
        gres: generic resources, such as `gpu`, with their numbers; those of a type as `gpu:h200` too.
        gres_used: how many of them jobs have.
        partitions: that it belongs to.
        features: that jobs may ask for.
        reason: why it is down or drained; empty where nobody said.
    """

    name: str
    address: str
    states: frozenset[str]
    cpus: int
    cpus_used: int
    memory: int
    memory_used: int
    gres: tuple[tuple[str, int], ...]
    gres_used: tuple[tuple[str, int], ...]
    partitions: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether new jobs can start on it, now or when others end."""
        return not self.states & _UNUSABLE

    @property
    def state(self) -> str:
        """For people: `idle`, `mixed, drain`."""
        return ", ".join(sorted(self.states, key=lambda state: (state in _UNUSABLE, state))).lower()


@dataclass(frozen=True)
class PartitionRow:
    """One partition.

    Attributes:
        name: of Slurm.
        default: jobs that name none go there.
        up: it starts jobs.
        nodes: that it has.
        max_time: seconds; None: no limit.
        default_time: seconds that a job without a time limit gets; None: as long as `max_time`.
        max_nodes: of one job; None: no limit.
        preempt_mode: `OFF`, `REQUEUE`, `CANCEL`, …
        grace_time: seconds that a job has from the word that others need its nodes.
    """

    name: str
    default: bool
    up: bool
    nodes: tuple[str, ...]
    max_time: float | None
    default_time: float | None
    max_nodes: int | None
    preempt_mode: str
    grace_time: float = 0.0


def nodes(text: str) -> Table[NodeRow]:
    """What `scontrol --all --details --oneliner show nodes` printed."""
    return _table(text, "NodeName", _node)


def partitions(text: str) -> Table[PartitionRow]:
    """What `scontrol --all --details --oneliner show partitions` printed."""
    return _table(text, "PartitionName", _partition)


def presumed_nodes(text: str) -> Table[NodeRow]:
    """Of the partitions that `scontrol … show partitions` printed, each with an equal share of what its own has."""
    shared = _table(text, "PartitionName", _equal_nodes)
    found: dict[str, NodeRow] = {}
    for row in (row for rows in shared.rows for row in rows):
        known = found.get(row.name, row)
        found[row.name] = replace(known, partitions=tuple(dict.fromkeys((*known.partitions, *row.partitions))))
    return Table(tuple(found.values()), shared.garbled)


def seconds(text: str) -> float | None:
    """A time limit in Slurm's notation, `7-00:00:00`; None where there is none.

    Raises:
        ValueError: it is no such time.
    """
    if text.upper() in {"UNLIMITED", "INFINITE", "NONE", "N/A", "NOT_SET", "PARTITION_LIMIT", ""}:
        return None
    if text.isascii() and text.isdigit():
        return float(text) * 60
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"no time: {one_line(text)}")
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


R = TypeVar("R")


def _table(text: str, key: str, read: Callable[[Mapping[str, str]], R]) -> Table[R]:
    rows, garbled = [], []
    for line in filter(str.strip, text.split("\n")):
        try:
            rows.append(read(_values(line, key)))
        except (KeyError, ValueError):
            if not line.startswith("No nodes") and not line.startswith("No partitions"):
                garbled.append(one_line(line))
    return Table(tuple(rows), tuple(garbled))


def _values(line: str, key: str) -> dict[str, str]:
    """`Key=value` pairs; a value may hold spaces. Of equal keys the first counts: free text stands behind the facts."""
    found = list(_KEY.finditer(line))
    if not found or found[0][1] != key or found[0].start() != 0:
        raise ValueError("another line")
    values: dict[str, str] = {}
    for i, match in enumerate(found):
        end = found[i + 1].start() if i + 1 < len(found) else len(line)
        values.setdefault(match[1], line[match.end() : end].strip())
    return values


def _node(values: Mapping[str, str]) -> NodeRow:
    configured, allocated = _tres(values.get("CfgTRES", "")), _tres(values.get("AllocTRES", ""))
    spared = int(values.get("MemSpecLimit", "0"))
    return NodeRow(
        name=values["NodeName"],
        address=values.get("NodeAddr", values["NodeName"]),
        states=_states(values["State"]),
        cpus=int(values.get("CPUEfctv") or values["CPUTot"]),
        cpus_used=int(values.get("CPUAlloc", "0")),
        memory=max(0, int(values.get("RealMemory", "0")) - spared) * _MIB,
        memory_used=int(values.get("AllocMem", "0")) * _MIB,
        gres=_gres(values.get("Gres", "")) or configured,
        gres_used=_gres(values.get("GresUsed", "")) or allocated,
        partitions=tuple(filter(None, values.get("Partitions", "").split(","))),
        features=_features(values.get("AvailableFeatures", "")),
        reason=one_line(values.get("Reason", "")),
    )


def _partition(values: Mapping[str, str]) -> PartitionRow:
    most = values.get("MaxNodes", "UNLIMITED")
    return PartitionRow(
        name=values["PartitionName"],
        default=values.get("Default") == "YES",
        up=values.get("State", "UP") == "UP",
        nodes=node_names(values.get("Nodes", "")),
        max_time=seconds(values.get("MaxTime", "")),
        default_time=seconds(values.get("DefaultTime", "")),
        max_nodes=None if most == "UNLIMITED" else int(most),
        preempt_mode=values.get("PreemptMode", "OFF"),
        grace_time=float(values.get("GraceTime", "0")),
    )


def _equal_nodes(values: Mapping[str, str]) -> tuple[NodeRow, ...]:
    names, has = node_names(values.get("Nodes", "")), values.get("TRES", "")
    many = max(1, len(names))
    memory = _MEMORY.search(has)
    share = int(float(memory[1]) * _UNITS[memory[2]]) // many if memory else _UNKNOWN_MEMORY
    cpus = int(values.get("TotalCPUs", "0")) // many
    gres = tuple((name, count // many) for name, count in _tres(has))
    states, partition = frozenset({"HIDDEN"}), (values["PartitionName"],)
    return tuple(NodeRow(name, name, states, cpus, 0, share, 0, gres, (), partition) for name in names)


def _states(text: str) -> frozenset[str]:
    """`IDLE+DRAIN`, `MIXED*+PLANNED`."""
    found = set()
    for word in text.upper().split("+"):
        bare = word.rstrip("".join(_MARKS))
        found |= {bare} | {_MARKS[mark] for mark in word[len(bare) :]}
    return frozenset(found - {""})


def _features(text: str) -> tuple[str, ...]:
    return () if text == "(null)" else tuple(filter(None, text.split(",")))


def _gres(text: str) -> tuple[tuple[str, int], ...]:
    """`gpu:h200:8(S:0-1),shard:4`, with the sum over all types under the bare name."""
    found: Counter[str] = Counter()
    for match in _GRES.finditer(text):
        name, kind, count = match[1], match[2], int(match[3])
        found[name] += count
        if kind and kind != "(null)":
            found[f"{name}:{kind}"] += count
    return tuple(sorted(found.items()))


def _tres(text: str) -> tuple[tuple[str, int], ...]:
    """The generic resources of `cpu=4,mem=62G,gres/gpu=2,gres/gpu:h200=2`."""
    return tuple(sorted((name, int(count)) for name, count in _TRES.findall(text)))
