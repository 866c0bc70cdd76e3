"""A cluster profile: what operators write about an engine, its nodes, limits and paths."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.spec.base import Document, Line, Name, Text
from orchestrator.spec.units import ByteSize, Duration


class Node(Document):
    """One machine, or `count` equal ones; `auto` is measured where the backend can."""

    name: Name = "localhost"
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    cpus: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    gpus: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    gpu_type: Name | None = None
    memory: ByteSize | Literal["auto"] = "auto"


class Limits(Document):
    """What no job may exceed."""

    max_workers: Annotated[int, Field(ge=1)] | None = None
    max_time: Annotated[Duration, Field(gt=0)] | None = None


class Watch(Document):
    """The controller's times, in seconds."""

    poll: Duration = Field(default=0.5, ge=0.01, description="between two looks at the engine")
    lost_after: Duration = Field(default=30.0, description="a run absent for so long without a break is lost")
    resize_within: Duration = Field(default=300.0, description="a resize that takes longer is called off")
    cancel_grace: Duration = Field(default=20.0, description="a run has so long to checkpoint and stop")


class ClusterProfile(Document):
    """A cluster."""

    name: Name
    description: Text = ""
    backend: Literal["local"]
    nodes: list[Node] = Field(default_factory=lambda: [Node()], min_length=1)
    runs_dir: Line | None = Field(default=None, description="shared between nodes; default: the state directory")
    policy: Literal["fifo"] = "fifo"
    limits: Limits = Limits()
    watch: Watch = Watch()
