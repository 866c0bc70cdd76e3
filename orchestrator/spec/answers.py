"""What the HTTP API answers about the queue: why a job waits, who is before it, the nodes, and what would happen if."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.spec.base import Priority
from orchestrator.spec.messages import Message


class Moment(Message):
    """A time that is expected, in seconds since the epoch, and how sure that is."""

    at: float = Field(description="the median")
    earliest: float | None = Field(default=None, description="one in ten comes before this")
    latest: float | None = Field(default=None, description="one in ten comes after this")
    by_limit: bool = Field(
        default=False, description="all that is known of how long some job takes is its time limit: `at` is the latest"
    )
    stops: bool = Field(
        default=False, description="the run is asked to stop then, as maintenance begins, and goes back into the queue"
    )


class Remedy(Message):
    """What would let a job start, or mend what happened to it."""

    text: str = Field(description="in words and numbers")
    command: str = Field(default="", description="what does it; empty where no command does")
    proved: bool = Field(default=False, description="with it, the policy starts the job; otherwise by forecast")


class JobLine(Message):
    """A job that runs or waits, as one line of the queue."""

    job: str
    name: str = ""
    owner: str = ""
    team: str
    priority: int
    state: str
    position: int | None = Field(default=None, description="in the policy's order, from 1; only of jobs that wait")
    workers_min: int
    workers_max: int
    slots: int = Field(description="of one worker")
    cpus: int = Field(default=0, description="cores of one worker beside its slots; 0: not counted")
    workers: int | None = Field(default=None, description="that it has now")
    nodes: dict[str, int] = Field(default_factory=dict, description="the workers that it has, by node")
    since: float = Field(description="it waits, or runs, since then")
    expected_start: Moment | None = None
    expected_end: Moment | None = None
    reason: str = Field(default="", description="why it waits or what it is asked to do, in a few words")
    pinned: bool = Field(default=False, description="a person chose its width")
    preemptions: int = 0
    engine_id: str = Field(default="", description="what an engine with a queue of its own calls it")
    partition: str = Field(default="", description="of that engine, that it waits or runs in")


class WhyView(Message):
    """Why a job is where it is."""

    job: str
    name: str
    state: str
    now: float = Field(description="when this was answered")
    kind: str = Field(default="", description="what it waits for: slots, turn, quota, backoff, …")
    reason: str = Field(description="in words and numbers")
    details: list[str] = Field(default_factory=list, description="more of them, a sentence each")
    phase: str = Field(default="", description="of a job that is starting: what it does, and for how long")
    since: float | None = None
    expected_start: Moment | None = None
    expected_end: Moment | None = None
    position: int | None = Field(default=None, description="in the policy's order, from 1")
    queue: int | None = Field(default=None, description="jobs that wait")
    before: list[JobLine] = Field(default_factory=list, description="the next ones before it, nearest last")
    workers: int | None = Field(default=None, description="that it has, of a job that runs")
    workers_min: int | None = Field(default=None, description="the fewest that it asked for, of a job that runs")
    workers_max: int | None = Field(default=None, description="the most")
    pinned: bool = False
    preemptions: int = 0
    engine_id: str = Field(default="", description="what an engine with a queue of its own calls it")
    partition: str = Field(default="", description="of that engine, that it waits or runs in")
    remedies: list[Remedy] = Field(default_factory=list)


class SlotCount(Message):
    """What the slots of a cluster do."""

    total: int
    used: int
    free: int
    claimed: int = Field(default=0, description="free, and kept for a job that something was freed for")
    drained: int = Field(default=0, description="unused on nodes that take nothing new")
    held_by_others: int = Field(default=0, description="by others than this server")
    kind: str = "gpu"
    cpus: int = Field(default=0, description="cores beside the slots; 0: not counted")
    cpus_used: int = 0
    cpus_free: int = 0


class TeamLine(Message):
    """What a team has and uses."""

    team: str
    used: int = Field(description="slots now")
    cpus_used: int = Field(default=0, description="cores beside them")
    running: int = Field(description="jobs")
    waiting: int = Field(description="jobs")
    weight: float = 1.0
    share: float = Field(default=0, description="fraction of the cluster that its weight stands for")
    recent: float = Field(default=0, description="fraction of what all teams have used of late, decayed")
    quota: int | None = None
    limit: int | None = None


class QueueView(Message):
    """What runs and what waits, in the policy's order."""

    now: float
    profile: str
    policy: str = Field(description="empty where the engine has a queue of its own, and decides itself")
    engine: str = Field(default="", description="that has a queue of its own; empty where it has none")
    slots: SlotCount
    running: list[JobLine]
    pending: list[JobLine] = Field(default_factory=list, description="the first ones of those in the engine's queue")
    pending_total: int = 0
    waiting: list[JobLine] = Field(description="the first ones of those that wait here")
    waiting_total: int
    held: int = Field(default=0, description="jobs among them that a person holds")
    teams: list[TeamLine] = Field(default_factory=list)
    team: str = Field(default="", description="only its jobs and those of teams under it are listed; empty: all")
    notes: list[str] = Field(default_factory=list, description="what else is to be known of the slots")


class WindowView(Message):
    """A time in which a node takes no work; no end: nobody knows."""

    start: float
    end: float | None = None
    why: str


class NodeView(Message):
    """A machine of the cluster."""

    name: str
    state: str = Field(description="up, drained, down, or maintenance: it is up and takes nothing new")
    slots: int
    used: int
    free: int
    claimed: int = 0
    held_by_others: int = Field(default=0, description="slots that others than this server hold")
    others: str = Field(default="", description="who they are, as far as is known, in a sentence")
    kind: str = "gpu"
    cpus: int = Field(default=0, description="cores beside its slots; 0: not counted")
    cpus_used: int = 0
    cpus_free: int = 0
    gpu_type: str = ""
    rack: str = ""
    note: str = ""
    since: float | None = Field(default=None, description="its state is so since then")
    by: str = Field(default="", description="who drained it")
    windows: list[WindowView] = Field(default_factory=list)
    jobs: dict[str, int] = Field(default_factory=dict, description="workers of the jobs on it")
    stopped: list[str] = Field(default_factory=list, description="jobs on it that the change asked to stop")
    unsaved: dict[str, float] = Field(
        default_factory=dict, description="seconds that jobs on it have run which save no state when they are stopped"
    )
    unknown: str = Field(default="", description="why its slots and jobs are not known; empty where they are")
    change: str = Field(default="", description="what to know of the change that was asked for")


class PriorityRequest(Message):
    """Another priority for a job."""

    priority: Priority


class DrainRequest(Message):
    """A node takes nothing new from now on."""

    note: str = Field(default="", max_length=500, description="why, for people")
    now: bool = Field(default=False, description="what runs on it is preempted, too")


class EstimateView(Message):
    """How long a job is expected to take, without waiting."""

    seconds: float = Field(gt=0, le=1e10, description="with the most workers")
    error: float = Field(default=0.5, ge=0, le=10, description="standard deviation of its logarithm")
    exponent: float = Field(default=1.0, ge=0, le=1, description="speed of k of n workers is (k / n) ** exponent")
    widths: dict[int, Annotated[float, Field(gt=0, le=1e10)]] = Field(
        default_factory=dict, description="seconds, were it to ask for exactly so many workers; others by the exponent"
    )


MOST_WIDTHS = 4
"""Numbers of workers in one question: each is played through."""


class WhatIfRequest(Message):
    """A workload that might be submitted."""

    source: str = Field(max_length=2_000_000, description="the YAML text, as written")
    filename: str = "workload.yaml"
    overrides: list[str] = Field(default_factory=list)
    workers: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        default_factory=list, max_length=MOST_WIDTHS, description="also as if exactly so many were asked for"
    )
    estimate: EstimateView | None = Field(default=None, description="what the caller expects; none: the server's own")
    memory: int = Field(
        default=0, ge=0, le=1 << 60, description="bytes that each worker should need, where the workload does not say"
    )


class Delay(Message):
    """A job that would end later, or, where nobody knows how long it takes, start later."""

    job: str
    name: str = ""
    team: str = ""
    seconds: float
    at_least: bool = Field(default=False, description="it would be later than was looked ahead")
    by_limit: bool = Field(default=False, description="by time limits alone: it may be far less")


class Option(Message):
    """What would happen with so many workers."""

    workers_min: int
    workers_max: int
    slots: int = Field(description="of one worker")
    cpus: int = Field(default=0, description="cores of one worker beside its slots; 0: not counted")
    start: Moment | None = Field(default=None, description="none: not within what was looked at, or never")
    end: Moment | None = None
    workers: int | None = Field(default=None, description="that it would start with")
    waits: float | None = Field(default=None, description="seconds")
    reason: str = Field(default="", description="why it would not start at once")
    stopped: list[str] = Field(default_factory=list, description="running jobs that would be preempted for it at once")
    shrunk: list[str] = Field(default_factory=list, description="running jobs that would be shrunk for it at once")
    delayed: int = Field(default=0, description="how many jobs would end later")
    delays: list[Delay] = Field(default_factory=list, description="the longest of them")
    worse: bool = Field(default=False, description="another one ends as early, with no more slots and no more delays")


class WhatIfView(Message):
    """When a workload would start, and whom it would delay."""

    now: float
    profile: str
    policy: str = Field(description="empty where the engine has a queue of its own, and decides itself")
    engine: str = Field(default="", description="whose dry run tells; empty where the policy was played through")
    live: bool = Field(description="asked of a live queue; otherwise of the cluster while it is empty")
    position: int | None = None
    waiting: int = 0
    estimate: EstimateView | None = None
    options: list[Option] = Field(description="first: as it is written; then by their ends")
    notes: list[str] = Field(default_factory=list)
