"""The `slurm` section of a cluster profile: how this cluster's Slurm is reached, and what jobs ask of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from orchestrator.spec.base import Document, Line, Name, Priority
from orchestrator.spec.units import Duration


class PriorityRule(Document):
    """What jobs of a priority and above ask of Slurm beside its `nice`."""

    at_least: Priority
    qos: Name | None = None
    partition: Name | None = None
    account: Name | None = None

    @model_validator(mode="after")
    def _says_something(self) -> PriorityRule:
        if self.qos is None and self.partition is None and self.account is None:
            raise ValueError("a rule needs a qos, a partition or an account")
        return self


class Growth(Document):
    """Elastic runs grow by allocations of one node, which Slurm may take back at any moment."""

    partition: Name = Field(description="where they wait; preemptible, so that they stand in nobody's way")
    qos: Name | None = None
    account: Name | None = None
    nice: Annotated[int, Field(ge=0, le=2_147_483_645)] = Field(default=1000, description="beside that of the run")
    at_once: Annotated[int, Field(ge=1, le=100)] = Field(default=2, description="of one run that wait at a time")
    least: Duration = Field(default=300.0, description="no growth where a run should be over within this time")
    rest: Duration = Field(
        default=30.0, description="without growth after some that was taken back within 2 min; doubles with each"
    )


class SlurmSection(Document):
    """How this cluster's Slurm is reached, and what jobs ask of it. What is left out is left to Slurm's defaults."""

    conf: Line | None = Field(default=None, description="path of slurm.conf; default: $SLURM_CONF, or Slurm's own")
    commands: Line | None = Field(default=None, description="folder of sbatch, squeue, …; default: by $PATH")
    partition: Name | None = None
    account: Name | None = None
    accounts: dict[Name, Name] = Field(default_factory=dict, description="the account of each team; others: `account`")
    qos: Name | None = None
    gres: Name = Field(default="gpu", description="what a GPU is called among the generic resources")
    constraint: Line | None = Field(default=None, description="as sbatch takes it: features that nodes must have")
    nice_step: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=10, description="`nice` for each priority below limits.priority; 0: priorities do not reach Slurm"
    )
    priorities: list[PriorityRule] = Field(
        default_factory=list, max_length=100, description="the rule with the highest `at_least` that a job reaches"
    )
    growth: Growth | None = Field(default=None, description="default: runs keep the workers that they start with")
    waiting: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="of our jobs that wait in Slurm at a time; the others wait here, in order"
    )
    look_every: Duration = Field(default=10.0, ge=0.2, description="between two looks at Slurm's queue")
    warn_before: Annotated[Duration, Field(ge=30, le=65_535)] = Field(
        default=120.0, description="so long before its time limit a run is told to save its state and stop"
    )
    longest: Annotated[Duration, Field(ge=60)] | None = Field(
        default=None, description="the time limit of runs of which nobody knows how long they take; default: Slurm's"
    )
    setup: list[Line] = Field(
        default_factory=list, max_length=100, description="shell lines before the agent starts, such as `module load`"
    )
    python: Line | None = Field(default=None, description="the interpreter on the nodes; default: the server's own")

    @property
    def priority_note(self) -> str:
        """What somebody who changes a priority must know; empty where it does what they expect."""
        if self.nice_step or self.priorities:
            return ""
        return "it says which job is handed to Slurm first, and nothing to Slurm itself: slurm.nice_step is 0"
