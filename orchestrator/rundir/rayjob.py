"""ray-<n>.json: what the driver of a Ray job has to know; written before the job is submitted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from orchestrator.base.errors import NotFound
from orchestrator.base.files import create_exclusive, read_json, write_json
from orchestrator.rundir.allocations import AllocationFiles

LEFT_IN = "ORCHESTRATOR_DRIVER"
"""Of the environment that a run's process gives to its workers on a Ray cluster: a file in the run's directory."""


@dataclass(frozen=True)
class RayJob:
    """One allocation on a Ray cluster.

    Attributes:
        placement: (node, workers), in order, where the scheduler put them.
        start_within: seconds after which a run that has not got all of its places gives back those it has.
        time_limit: seconds that the user, or the cluster, lets the run take.
        memory: bytes that each worker reserves; 0: nobody said.
        env: of whatever runs on the nodes, beside what Ray's own processes have there.
    """

    placement: tuple[tuple[str, int], ...]
    start_within: float = 60.0
    time_limit: float | None = None
    memory: int = 0
    env: Mapping[str, str] = field(default_factory=dict)


def names_of(nodes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What we call each node of a Ray cluster: its name, and its identifier as well where another has the same name.

    Args:
        nodes: (identifier, name) of those that are there.
    """
    nodes = list(nodes)
    count = Counter(name for _, name in nodes)
    return {node: name if count[name] == 1 else f"{name}@{node[:8]}" for node, name in nodes}


def write_ray_job(files: AllocationFiles, job: RayJob) -> None:
    """Write `ray-<n>.json`, n being the allocation's number; for its owner's eyes only, for it may hold credentials."""
    write_json(files.ray_job, asdict(job), mode=0o600)


def read_ray_job(files: AllocationFiles) -> RayJob:
    """Read it.

    Raises:
        NotFound: it is not there.
    """
    document = read_json(files.ray_job)
    if document is None:
        raise NotFound(f"{files.ray_job} is missing or damaged", hint="it is written before a job is submitted to Ray")
    return RayJob(**document | {"placement": tuple((str(node), int(count)) for node, count in document["placement"])})


def write_draining(files: AllocationFiles, until: Mapping[str, float]) -> None:
    """Write `ray-<n>-draining.json`: what Ray tells its drivers alone, for whoever places runs.

    Args:
        files: of the driver's allocation.
        until: when each node that Ray drains shall be empty, in seconds since the epoch, by Ray's identifier of it;
            0: at no time.
    """
    write_json(files.ray_draining, {"until": dict(until)})


def read_draining(files: AllocationFiles) -> dict[str, float] | None:
    """Read it; None where its driver has said nothing, or nothing that can be read."""
    try:
        document = read_json(files.ray_draining)
        return None if document is None else {str(node): float(at) for node, at in document["until"].items()}
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return None


def claim_ray_job(files: AllocationFiles, driver: str) -> bool:
    """Say once, for ever, which driver runs an allocation: a job that Ray was given twice starts nothing twice.

    Args:
        files: of its first agent.
        driver: what tells it from any other.

    Returns:
        False where another does.
    """
    return create_exclusive(files.ray_claim, json.dumps({"driver": driver}).encode())
