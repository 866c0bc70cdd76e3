"""A cluster profile: what operators write about an engine, its nodes, teams, policy, limits and paths."""

from __future__ import annotations

import math
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.spec.base import Document, Line, Name, Priority, Problems, Text
from orchestrator.spec.diagnostics import did_you_mean
from orchestrator.spec.hidden import Repairs
from orchestrator.spec.policy import Policy
from orchestrator.spec.presets import PRESETS, preset
from orchestrator.spec.ray import RaySection
from orchestrator.spec.slurm import SlurmSection
from orchestrator.spec.units import ByteSize, Duration


class Node(Document):
    """One machine, or `count` equal ones; `auto` is measured where the backend can."""

    name: Name = "localhost"
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    cpus: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    gpus: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    gpu_type: Name | None = None
    memory: ByteSize | Literal["auto"] = "auto"
    rack: Name | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of each of its machines: `name`, or `name-1`, `name-2`, … where there are several."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{i}" for i in range(1, self.count + 1))


class Team(Document):
    """A team's place in the tree of shares."""

    name: Name
    parent: Name | None = Field(default=None, description="the team that it is a part of; default: none")
    weight: float = Field(default=1.0, gt=0, description="of its share among the children of its parent")
    quota: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="slots that are its own; what others borrow of them comes back when it asks"
    )
    limit: Annotated[int, Field(ge=0)] | None = Field(default=None, description="slots that it never exceeds")


def parse_instant(value: Any) -> float:
    """Seconds since the epoch from a time such as `2026-12-01T06:00+01:00`, or from such a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    expected = "expected a time with its offset, such as 2026-12-01T06:00+01:00 or 2026-12-01T05:00Z"
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(expected) from None
    if found.tzinfo is None:
        raise ValueError(expected)
    return found.timestamp()


Instant = Annotated[
    float,
    BeforeValidator(parse_instant),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}),
]


class Maintenance(Document):
    """A time in which nodes take no work: what may run into it does not start, and what does is asked to stop."""

    nodes: list[Name] = Field(min_length=1, max_length=100_000)
    start: Instant = Field(description="a time with its offset, such as 2026-12-01T06:00+01:00")
    end: Instant
    why: Line = "maintenance"

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: float, info: ValidationInfo) -> float:
        if end <= info.data.get("start", -math.inf):
            raise ValueError("maintenance ends before it starts")
        return end


def _known(name: str) -> str:
    return preset(name).name


class PolicySection(Policy):
    """How the queue is served: a policy by its name, or `preset` and what differs from it."""

    preset: Annotated[Name, AfterValidator(_known)] = Field(
        default="default", description=f"one of {', '.join(PRESETS)}"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value.endswith((".yaml", ".yml")):
                raise ValueError("the name of a policy, or a section, is expected, not a file; write here what it says")
            value = {"preset": value}
        if not isinstance(value, dict):
            return value
        named = value.get("preset", "default")
        base = PRESETS.get(named) if isinstance(named, str) else None
        return value if base is None else _merged(base.model_dump(), value)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A name, or a section."""
        full = handler.resolve_ref_schema(handler(schema))
        description = full.pop("description", "")
        return {"anyOf": [{"type": "string", "enum": list(PRESETS)}, full], "description": description}


def _merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Sections key by key, everything else replaced."""
    merged = dict(base)
    for key, value in more.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


class PolicyFile(Document):
    """A policy in a file of its own, under the key that it has in a profile."""

    policy: PolicySection


class Limits(Document):
    """What no job may exceed."""

    max_workers: Annotated[int, Field(ge=1)] | None = None
    max_time: Annotated[Duration, Field(gt=0)] | None = None
    priority: Priority = Field(default=0, description="the highest that users may give their jobs; more: operators")


class Watch(Document):
    """The controller's times, in seconds."""

    poll: Duration = Field(default=0.5, ge=0.01, description="between two looks at the engine")
    lost_after: Duration = Field(default=30.0, description="a run absent for so long without a break is lost")
    resize_within: Duration = Field(default=300.0, description="a resize that takes longer is called off")
    cancel_grace: Duration = Field(default=20.0, description="a run has so long to checkpoint and stop")


_SLURM_DECIDES = {
    "policy": "Slurm's own scheduler decides; the section `slurm` says how priorities reach it",
    "nodes": "Slurm says which nodes there are",
    "maintenance": "plan it as a reservation of Slurm: scontrol create reservation flags=maint …",
}


class ClusterProfile(Document):
    """A cluster."""

    repairs: ClassVar[Repairs] = Repairs(
        stand_ins={"name": "x", "backend": "local"},
        optional={
            "nodes": frozenset({"cpus", "gpus", "gpu_type", "memory", "rack"}),
            "teams": frozenset({"weight", "parent", "quota", "limit"}),
        },
        rests_on={"maintenance": "nodes"},
        open=frozenset({"teams"}),
    )

    name: Name
    description: Text = ""
    backend: Literal["local", "ray", "slurm"]
    nodes: list[Node] = Field(default_factory=lambda: [Node()], min_length=1)
    runs_dir: Line | None = Field(default=None, description="shared between nodes; default: the state directory")
    policy: PolicySection = Field(default_factory=lambda: PolicySection.model_validate("default"))
    teams: list[Team] = Field(default_factory=list, max_length=10_000)
    maintenance: list[Maintenance] = Field(default_factory=list, max_length=10_000)
    limits: Limits = Limits()
    watch: Watch = Watch()
    ray: RaySection = Field(default_factory=RaySection, description="with `backend: ray`")
    slurm: SlurmSection = Field(default_factory=SlurmSection, description="with `backend: slurm`")

    @model_validator(mode="after")
    def _consistent(self) -> ClusterProfile:
        problems = [*self._wrong_nodes(), *self._wrong_teams(), *self._foreign_sections()]
        if problems:
            raise Problems(problems)
        return self

    @property
    def priority_note(self) -> str:
        """What somebody who changes a priority must know; empty where it does what they expect."""
        return self.slurm.priority_note if self.backend == "slurm" else self.policy.priority_note

    @property
    def names_nodes(self) -> bool:
        """Whether it says which nodes there are; otherwise the engine does."""
        return self.backend == "local"

    @property
    def python(self) -> str | None:
        """The interpreter on the nodes; None: the server's path."""
        return self.ray.python if self.backend == "ray" else self.slurm.python

    def chain_of(self, team: str) -> Iterator[Team]:
        """A team and those above it; nothing where the profile does not name it."""
        return _chain(team, {one.name: one for one in self.teams})

    def _foreign_sections(self) -> Iterator[str]:
        """What the chosen engine has no use for would be passed over in silence."""
        for key, empty in (("ray", RaySection()), ("slurm", SlurmSection())):
            if self.backend != key and getattr(self, key) != empty:
                yield f"{key}: this section is for `backend: {key}`, and the backend is {self.backend}"
        if self.backend == "ray" and self.nodes != [Node()]:
            yield "nodes: with `backend: ray` Ray says which nodes there are; `ray.autoscaler` says which may come"
        if self.backend != "slurm":
            return
        for key, why in _SLURM_DECIDES.items():
            if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True):
                yield f"{key}: with `backend: slurm` {why}"
        for i, team in enumerate(self.teams):
            for key in ("quota", "limit"):
                if getattr(team, key) is not None:
                    yield f"teams[{i}].{key}: with `backend: slurm` set it in Slurm: sacctmgr modify account … GrpTRES"

    def _wrong_nodes(self) -> Iterator[str]:
        known = Counter(name for node in self.nodes for name in node.names)
        twice = next((name for name, count in known.items() if count > 1), None)
        if twice is not None:
            yield f"nodes: {twice} is there twice"
        for i, entry in enumerate(self.maintenance):
            for j, name in enumerate(entry.nodes):
                if name not in known and self.backend != "ray":  # of which Ray knows the nodes
                    yield f"maintenance[{i}].nodes[{j}]: there is no node {name}"

    def _wrong_teams(self) -> Iterator[str]:
        yield from self._wrong_parents()
        yield from self._wrong_quotas()

    def _wrong_quotas(self) -> Iterator[str]:
        named, slots = {team.name: team for team in self.teams}, self._known_slots()
        for i, team in enumerate(self.teams):
            if team.quota is None:
                continue
            place = f"teams[{i}].quota"
            for above in _chain(team.name, ChainMap({team.name: team}, named)):  # a name may be there twice
                if above.limit is not None and team.quota > above.limit:
                    whose = "its limit" if above is team else f"the limit of {above.name}"
                    yield f"{place}: the quota of {team.name} is above {whose}"
            if slots is not None and team.quota > slots:
                yield f"{place}: the quota of {team.name} is {team.quota}, and the nodes have {slots} slots"

    def _known_slots(self) -> int | None:
        """GPUs where there are any, else cores; None where they are measured later."""
        if any(node.gpus == "auto" for node in self.nodes):
            return None
        gpus = sum(node.count * node.gpus for node in self.nodes if node.gpus != "auto")
        if gpus:
            return gpus
        cores = [node.count * node.cpus for node in self.nodes if node.cpus != "auto"]
        return sum(cores) if len(cores) == len(self.nodes) else None

    def _wrong_parents(self) -> Iterator[str]:
        parents = {team.name: team.parent for team in self.teams}
        first = {team.name: i for i, team in reversed([*enumerate(self.teams)])}
        for i, team in enumerate(self.teams):
            if first[team.name] < i:
                yield f"teams[{i}].name: team {team.name} is there already"
            if team.parent is not None and team.parent not in parents:
                near = did_you_mean(team.parent, [name for name in parents if name != team.name])
                hint = f"; {near}" if near else ""
                yield f"teams[{i}].parent: {team.name} has parent {team.parent}, which is no team{hint}"
            elif _is_its_own_parent(team.name, parents):
                yield f"teams[{i}].parent: {team.name} is a part of itself"


def _chain(name: str, named: Mapping[str, Team]) -> Iterator[Team]:
    found, seen = named.get(name), set[str]()
    while found is not None and found.name not in seen:
        yield found
        seen.add(found.name)
        found = None if found.parent is None else named.get(found.parent)


def _is_its_own_parent(name: str, parents: dict[str, str | None]) -> bool:
    seen, parent = {name}, parents.get(name)
    while parent is not None and parent not in seen:
        seen.add(parent)
        parent = parents.get(parent)
    return parent == name
