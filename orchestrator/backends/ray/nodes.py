"""Nodes of a Ray cluster, and what is used of them, as its dashboard tells it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.base.text import one_line
from orchestrator.rundir.rayjob import LEFT_IN, names_of

_LABELS = ("ray.io/accelerator-type", "rack", "ray.io/node-group")
_USAGE = re.compile(
    r"^([\d.eE+-]+)/[\d.eE+-]+ (CPU|GPU)(?: \(([\d.eE+-]+) used of ([\d.eE+-]+) reserved in placement groups\))?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Used:
    """What is used of a node, or reserved on it.

    Attributes:
        cpus: cores.
        gpus: GPUs.
    """

    cpus: float = 0.0
    gpus: float = 0.0


@dataclass(frozen=True)
class RayNode:
    """One node.

    Attributes:
        id: Ray's identifier, in hexadecimal digits.
        name: what we call it: its name, and its identifier as well where another one has the same.
        cpus: cores that Ray may give out.
        gpus: GPUs that Ray may give out.
        memory: bytes that Ray may give out.
        gpu_type: by its label; empty where it has none.
        rack: by its label.
        group: the autoscaler's type of node, by its label.
        ended: seconds since the epoch when Ray lost it; None: it is alive.
        why: Ray lost it.
    """

    id: str
    name: str
    cpus: int
    gpus: int
    memory: int
    gpu_type: str = ""
    rack: str = ""
    group: str = ""
    ended: float | None = None
    why: str = ""


def nodes_of(rows: Sequence[Mapping[str, Any]]) -> tuple[RayNode, ...]:
    """Nodes from `/api/v0/nodes`, by name; of those that are lost under one name, the last.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    alive = [row for row in rows if row["state"] == "ALIVE"]
    called = names_of((str(row["node_id"]), str(row["node_name"])) for row in alive)
    lost: dict[str, RayNode] = {}
    for row in sorted((row for row in rows if row["state"] != "ALIVE"), key=lambda row: int(row["end_time_ms"] or 0)):
        if row["node_name"] not in {one["node_name"] for one in alive}:
            lost[str(row["node_name"])] = _node(row, str(row["node_name"]))
    found = [*(_node(row, called[str(row["node_id"])]) for row in alive), *lost.values()]
    return tuple(sorted(found, key=lambda node: node.name))


def used_by_status(status: Mapping[str, Any]) -> dict[str, Used] | None:
    """What is used of each node, by its identifier, as the first autoscaler counts it; None where it does not.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is something else.
    """
    by_node = (status.get("loadMetricsReport") or {}).get("usageByNode")
    if by_node is None:
        return None
    return {node: Used(_used(usage, "CPU"), _used(usage, "GPU")) for node, usage in by_node.items()}


def used_by_text(resources: Mapping[str, Any]) -> dict[str, Used]:
    """What is used of each node, by its identifier, from the lines that Ray writes for people.

    `1.0/4.0 CPU (1.0 used of 3.0 reserved in placement groups)` means 3 cores: what a group has reserved is nobody
    else's, and Ray leaves it out of the first number where it lies idle.

    Raises:
        TypeError, ValueError: it is something else.
    """
    found: dict[str, Used] = {}
    for node, text in resources.items():
        held = {
            kind: float(used) + (float(reserved) - float(inside) if reserved else 0.0)
            for used, kind, inside, reserved in _USAGE.findall(text)
        }
        found[node] = Used(held.get("CPU", 0.0), held.get("GPU", 0.0))
    return found


@dataclass(frozen=True)
class Busy:
    """A job, or a driver, that Ray runs.

    Attributes:
        name: by which Ray knows it.
        left_in: where a driver that came by itself has left what its workers need, if it is the process of a run.
    """

    name: str
    left_in: str = ""


def busy_jobs(rows: Iterable[Mapping[str, Any]]) -> list[Busy]:
    """The jobs and drivers that Ray runs."""
    return [
        Busy(str(row.get("submission_id") or row.get("job_id") or "a driver"), _left_in(row))
        for row in rows
        if row.get("status") in {"PENDING", "RUNNING"}
    ]


def _left_in(row: Mapping[str, Any]) -> str:
    environment = (row.get("runtime_env") or {}).get("env_vars") or {}
    return str(environment.get(LEFT_IN) or "") if isinstance(environment, Mapping) else ""


def _used(usage: Mapping[str, Sequence[float]], kind: str) -> float:
    return float(usage[kind][0]) if kind in usage else 0.0


def _node(row: Mapping[str, Any], name: str) -> RayNode:
    has = row["resources_total"] or {}
    kind, rack, group = (one_line(str((row["labels"] or {}).get(label, "")), 100) for label in _LABELS)
    return RayNode(
        str(row["node_id"]),
        name,
        int(has.get("CPU", 0)),
        int(has.get("GPU", 0)),
        int(has.get("memory", 0)),
        kind.lower(),
        rack,
        group,
        None if row["state"] == "ALIVE" else int(row["end_time_ms"] or 0) / 1000,
        one_line(str(row["state_message"] or "it does not say why"), 200),
    )
