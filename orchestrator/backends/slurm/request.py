"""What sbatch is asked for: a pure function of the launch, the profile and the shape; every string in it is inert."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.backends.protocol import LaunchRequest, Needs, Standing, Terms
from orchestrator.backends.slurm.inventory import NodeRow
from orchestrator.backends.slurm.limits import Limit
from orchestrator.backends.slurm.shape import Shape, Worker, gpu_types_of, suitable
from orchestrator.base.errors import LaunchRefused
from orchestrator.rundir.allocations import AllocationFiles, is_safe_name
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.slurm import PriorityRule, SlurmSection

OWN_MEMORY = 512 * 2**20
"""Bytes on each node for what is not a worker: batch step, guard, agent, and loaders of data."""
_MOST_NICE = 2_147_483_645
# A backslash counts inside quotes in a line of sbatch's, other than in a shell's; `%` is a pattern in a file's name.
_ACTIVE = re.compile(r"""["'\\%\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]""")


@dataclass(frozen=True)
class Lane:
    """Where in Slurm's queue a job stands; None: Slurm's default.

    Attributes:
        partition: that it waits in.
        qos: quality of service.
        account: that is charged.
        nice: how far others are let pass; never negative, which only Slurm's administrators may ask for.
        held: it waits until it is released.
    """

    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    nice: int = 0
    held: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Lane:
        """The inverse."""
        return cls(**document)


@dataclass(frozen=True)
class Place:
    """Where Slurm puts a job of itself, as far as that was seen; empty: not known.

    Attributes:
        partition: that it waits in.
        qos: quality of service.
        account: that is charged.
    """

    partition: str = ""
    qos: str = ""
    account: str = ""

    def with_seen(self, lane: Lane, seen: Place) -> Place:
        """What Slurm shows of a job in a lane is Slurm's own choice where the lane names nothing."""
        return Place(
            self.partition or ("" if lane.partition else seen.partition),
            self.qos or ("" if lane.qos else seen.qos),
            self.account or ("" if lane.account else seen.account),
        )


def lane_of(profile: ClusterProfile, standing: Standing, *, growth: bool) -> Lane:
    """Where a job of this standing waits.

    Growth waits where the profile lets it, behind the runs; a rule for priorities does not lift it.
    """
    section = profile.slurm
    nice = max(0, profile.limits.priority - standing.priority) * section.nice_step
    account = section.accounts.get(standing.team, section.account)
    if growth and section.growth is not None:
        grows = section.growth
        nice = min(nice + grows.nice, _MOST_NICE)
        return Lane(grows.partition, grows.qos or section.qos, grows.account or account, nice, standing.held)
    rule = _rule(section, standing.priority)
    return Lane(
        (rule and rule.partition) or section.partition,
        (rule and rule.qos) or section.qos,
        (rule and rule.account) or account,
        min(nice, _MOST_NICE),
        standing.held,
    )


def parameters_of(
    request: LaunchRequest,
    section: SlurmSection,
    lane: Lane,
    shape: Shape,
    limit: Limit,
    nodes: Sequence[NodeRow] | None,
) -> dict[str, Any]:
    """The request in submitit's words.

    Args:
        request: the launch.
        section: of the profile.
        lane: where it waits.
        shape: nodes and workers.
        limit: its time limit.
        nodes: of the partition; None: Slurm does not say.

    Raises:
        LaunchRefused: a string in it could be read as something else than itself.
    """
    terms = terms_of(request)
    worker = Worker.of(request.launch, terms.needs)
    found: dict[str, Any] = {
        "job_name": request.allocation,
        "comment": request.directory.run,
        "partition": lane.partition,
        "qos": lane.qos,
        "account": lane.account,
        "constraint": section.constraint,
        "nodes": shape.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": worker.cpus * shape.per_node,
        "gres": _gres(worker, terms.needs, section.gres, shape, nodes),
        "mem": _memory(worker, shape, nodes),
        "time": limit.minutes,
        "exclude": _excluded(terms.needs, section.gres, nodes),
        "setup": list(section.setup),
        "wckey": None,
        "use_srun": False,
        "stderr_to_stdout": True,
        "additional_parameters": _more(request, lane, limit, terms.needs),
    }
    _check(found)
    if shape.tasks:  # behind the check: here the percent sign is meant
        found["additional_parameters"]["output"] = str(_log(request).with_name("agent-%a.log"))
    return found


def terms_of(request: LaunchRequest) -> Terms:
    """Its terms; those of exactly its workers where nobody gave any."""
    return request.terms or Terms(request.launch.workers, request.launch.workers)


def _log(request: LaunchRequest) -> Path:
    return AllocationFiles(request.directory, request.allocation).log.absolute()


def _rule(section: SlurmSection, priority: int) -> PriorityRule | None:
    reached = [rule for rule in section.priorities if priority >= rule.at_least]
    return max(reached, key=lambda rule: rule.at_least, default=None)


def _more(request: LaunchRequest, lane: Lane, limit: Limit, needs: Needs) -> dict[str, Any]:
    """What submitit has no word for."""
    found: dict[str, Any] = {
        "output": str(_log(request)),
        "open-mode": "append",
        "chdir": "/",
        "no-requeue": True,
        "no-kill": True,
        "nice": lane.nice,
        "signal": f"B:USR1@{limit.warn}",
    }
    if lane.held:
        found["hold"] = True
    if needs.same_rack:
        found["switches"] = 1
    return found


def _memory(worker: Worker, shape: Shape, nodes: Sequence[NodeRow] | None) -> str | None:
    """Of each node; what is our own is left out where its workers take a whole node."""
    if not worker.memory:
        return None
    workers = worker.memory * shape.per_node
    largest = max((node.memory for node in nodes or ()), default=workers + OWN_MEMORY)
    return f"{-(-max(workers, min(workers + OWN_MEMORY, largest)) // 2**20)}M"


def _gres(worker: Worker, needs: Needs, gres: str, shape: Shape, nodes: Sequence[NodeRow] | None) -> str | None:
    """GPUs of each node; by type where one type is asked for, else by nodes (see `_excluded`)."""
    if not worker.gpus:
        return None
    count = worker.gpus * shape.per_node
    if len(needs.gpu_types) != 1:
        return f"{gres}:{count}"
    asked = needs.gpu_types[0]
    known = (kind for node in nodes or () for kind in gpu_types_of(node, gres))
    kind = next((kind for kind in known if kind.casefold() == asked.casefold()), asked)
    return f"{gres}:{kind}:{count}"


def _excluded(needs: Needs, gres: str, nodes: Sequence[NodeRow] | None) -> str | None:
    """Nodes where it must not lie; one that Slurm does not know would have it refuse the job."""
    if nodes is None:
        return ",".join(needs.not_on) or None
    by_type = len(needs.gpu_types) > 1
    kept = {node.name for node in suitable(nodes, needs, gres)}
    gone = [node.name for node in nodes if node.name in needs.not_on or (by_type and node.name not in kept)]
    return ",".join(gone) or None


def _check(parameters: Mapping[str, Any]) -> None:
    """Nothing that a line of the script, or Slurm, would take for something else."""
    for key in ("job_name", "comment"):
        if not is_safe_name(parameters[key]):
            raise LaunchRefused(f"{parameters[key]!r} is no safe name for a job of Slurm")
    flat = {**parameters, **parameters["additional_parameters"]}
    for key, value in flat.items():
        if isinstance(value, str) and (_ACTIVE.search(value) or value.startswith("-")):
            raise LaunchRefused(
                f"Slurm cannot be told {key} {value!r}: it begins with a dash, or holds a quote, a backslash, "
                "a percent sign or a control character",
                hint="a path comes from runs_dir of the profile, names of nodes and GPU types from the workload",
            )
    for key in ("exclude", "gres"):
        if flat[key] is not None and not re.fullmatch(r"[A-Za-z0-9._:,-]+", flat[key]):
            raise LaunchRefused(f"{flat[key]!r} names no node and no GPU type", hint="see not_on and gpu_types")
