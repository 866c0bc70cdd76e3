"""The `ray` section of a cluster profile: how this cluster's Ray is reached, and what it can grow to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.spec.base import Document, EnvironmentName, Line, Name
from orchestrator.spec.units import ByteSize, Duration


class NodeType(Document):
    """Machines that Ray's autoscaler may bring beside those that are there."""

    name: Name
    count: Annotated[int, Field(ge=1, le=100_000)] = Field(description="at most, those that are there included")
    cpus: Annotated[int, Field(ge=0)]
    gpus: Annotated[int, Field(ge=0)] = 0
    gpu_type: Name | None = None
    memory: ByteSize | None = None


class RaySection(Document):
    """How this cluster's Ray is reached, and what it can grow to."""

    address: Line | None = Field(
        default=None,
        description="URL of its dashboard, which takes jobs; default: $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265",
    )
    token_file: Line | None = Field(
        default=None,
        description="holds the cluster's token; default: $RAY_AUTH_TOKEN, $RAY_AUTH_TOKEN_PATH, else ~/.ray/auth_token",
    )
    python: Line | None = Field(default=None, description="the interpreter on the nodes; default: the server's path")
    env: dict[EnvironmentName, Line] = Field(
        default_factory=dict, max_length=100, description="added to the environment of whatever runs there"
    )
    start_within: Duration = Field(
        default=60.0, gt=0, description="a run that does not get all of its places for so long gives back those it has"
    )
    autoscaler: list[NodeType] = Field(
        default_factory=list,
        max_length=100,
        description="what Ray's autoscaler can bring; it is told what waits; default: nothing",
    )
