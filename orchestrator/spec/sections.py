"""The sections that workloads of every kind share: resources, retries, tracking, code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.spec.base import Document, EnvironmentName, Line, Name, Priority, Text
from orchestrator.spec.units import ByteSize, Duration, WorkerRange

_AT_TIME_LIMIT = 10


class Resources(Document):
    """What the workers of a run need, and where they may lie."""

    workers: WorkerRange = Field(
        default=WorkerRange(low=1, high=1),
        description="workers; or a range such as 2..8, within which the policy chooses how many, at the start "
        "and, for one training of a recipe, while it runs",
    )
    cpus_per_worker: int = Field(default=1, ge=1, le=1024, description="CPU cores for each worker")
    gpus_per_worker: int = Field(default=0, ge=0, le=16, description="GPUs for each worker")
    memory_per_worker: ByteSize = Field(default=0, description="bytes of memory for each worker; 0: not stated")
    gpu_types: list[Name] = Field(default_factory=list, max_length=100, description="one of these types; empty: any")
    not_on: list[Name] = Field(default_factory=list, max_length=1000, description="nodes that are left out")
    same_rack: bool = Field(default=False, description="all workers in one rack")
    placement: Literal["packed", "anywhere"] = Field(
        default="packed",
        description="packed: on one node where they fit, else on the fewest whole nodes; anywhere: on whatever is free",
    )


class Retry(Document):
    """How often a job is launched again after each class of failure; each class has a budget of its own."""

    preempted: int = Field(default=1000, ge=0, description="the engine or the scheduler took the resources away")
    infrastructure: int = Field(default=5, ge=0, description="a node, the network or the engine failed")
    time_limit: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="a time limit ended the run; unless it is given: 10, and none for what saves no state (a command), "
        "since it would reach the limit again",
    )
    out_of_memory: int = Field(default=1, ge=0, description="the run needed more memory than it had")
    application: int = Field(default=1, ge=0, description="the program ended with an error")
    data: int = Field(default=1, ge=0, description="a dataset could not be read")
    backoff: Duration = Field(default=5.0, description="seconds before the first retry; doubles each time, with jitter")
    backoff_limit: Duration = Field(default=600.0, description="the longest wait between retries")

    def at_time_limit(self, *, saves: bool) -> int:
        """How often a job is launched again after a run that a time limit ended.

        Args:
            saves: the next run goes on from what the last one saved.
        """
        if self.time_limit is not None:
            return self.time_limit
        return _AT_TIME_LIMIT if saves else 0


class Tracking(Document):
    """Where metrics go."""

    enabled: bool = True
    experiment: Name = Field(default="orchestrator", description="the MLflow experiment")
    tags: dict[Name, Line] = Field(default_factory=dict, max_length=50)


class WorkloadBase(Document):
    """What every workload has, whatever it runs."""

    name: Name = Field(description="what the job is called in lists and in MLflow")
    description: Text = ""
    seed: int = Field(default=0, ge=0, lt=2**63, description="everything random follows from it")
    team: Name = "default"
    priority: Priority = 0
    depends_on: list[Name] = Field(default_factory=list, max_length=100, description="jobs that must succeed first")
    time_limit: Annotated[Duration, Field(gt=0)] | None = Field(default=None, description="the longest a run may take")
    env: dict[EnvironmentName, Line] = Field(default_factory=dict, max_length=200)
    resources: Resources = Resources()
    retry: Retry = Retry()
    tracking: Tracking = Tracking()

    @property
    def workers(self) -> WorkerRange:
        """How many workers a run can use."""
        return self.resources.workers


Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
