"""What the coordinator is told and what it answers: events, instructions, and the rules of one run.

Workers are known by their numbers alone: allocation n counts from n * 1000, so that a number also names the agent that
started it (`agent_of`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.rundir.membership import MEMBERS_PER_ALLOCATION, Member, View
from orchestrator.runtime.membership.protocol import Phase

DoneOutcome = Literal["succeeded", "failed", "stopped", "left"]
RunOutcome = Literal["succeeded", "failed", "stopped"]
Placement = tuple[tuple[str, int], ...]
"""(node, workers)."""


def agent_of(number: int) -> int:
    """The agent (index of its allocation) whose worker this is."""
    return number // MEMBERS_PER_ALLOCATION


@dataclass(frozen=True)
class Policy:
    """The rules of one run; all times in seconds.

    Attributes:
        wanted: workers to begin with.
        first: workers that the first view waits for; None: all that are wanted.
        minimum: below this the run waits for others, and gives up in the end.
        maximum: of workers that can share the batch (V).
        lost_after: a worker that neither speaks nor computes for so long is dead, and an agent that is silent.
        hang_after: a step that takes so long hangs; ten times the median step where that is longer.
        replacements: workers that are started in the place of lost ones, in all.
        start_within: after the first worker is ready, how long the first view waits for the others.
        minimum_within: how long there may be fewer than `minimum` workers, before the first view too.
        warm_within: how long a worker may take from its start until it is ready.
        join_within: how long a worker that is ready waits for others that get ready, so that they join together.
        leave_within: how long a worker may take to leave.
        cut_within: how long a worker whose connection broke may take to come back.
        broken_within: how long after a group broke somebody's death may take to be known.
        settle_within: how long a new coordinator waits to hear of the members of the view before.
        joined_above: others come in the place of lost agents only where more workers than this are wanted; None: never.
            Without them, a run whose agents have room for fewer than `minimum` is over.
    """

    wanted: int
    minimum: int = 1
    maximum: int = MEMBERS_PER_ALLOCATION
    lost_after: float = 5.0
    hang_after: float = 300.0
    replacements: int = 10
    first: int | None = None
    start_within: float = 60.0
    minimum_within: float = 600.0
    warm_within: float = 600.0
    join_within: float = 2.0
    leave_within: float = 30.0
    cut_within: float = 1.0
    broken_within: float = 1.0
    settle_within: float = 3.0
    joined_above: int | None = 0


@dataclass(frozen=True)
class AgentJoined:
    """An agent takes part. It is told again, followed by all that is known of its workers, to every new coordinator.

    Attributes:
        agent: index of its allocation.
        room: workers that it can hold at a time, those that it has included.
        next_number: the lowest number of its range that it has never used.
        workers: numbers of its live processes.
        node: what the engine calls its machine; empty where that does not matter.
    """

    agent: int
    room: int
    next_number: int
    workers: tuple[int, ...] = ()
    node: str = ""


@dataclass(frozen=True)
class AgentRoom:
    """An agent can hold more or fewer workers than before; it ends nobody by itself."""

    agent: int
    room: int


@dataclass(frozen=True)
class AgentLeaves:
    """An agent was told to go: it has no room any more, and its workers are killed after its grace time.

    Attributes:
        agent: which one.
        cause: why, as a stop of the run says it: preempt, drain, time_limit.
        grace_seconds: until its workers are killed.
    """

    agent: int
    cause: str
    grace_seconds: float


@dataclass(frozen=True)
class AgentGone:
    """An agent is lost, and its workers with it.

    Attributes:
        agent: which one.
        certain: it is known to be dead; otherwise it may live on in another part of a partition.
    """

    agent: int
    certain: bool


@dataclass(frozen=True)
class PartEnded:
    """All ranks of an agent of a fixed gang have ended. It is told again to a lead that may not have heard it.

    Attributes:
        agent: which one.
        outcome: of its part.
        message: for people.
        failure_class: of a failed part.
        exit_code: of the rank that is to blame.
        cause: why it stopped.
        killed: SIGKILL ended that rank, which therefore did not fail because of others.
        elsewhere: it was ended because of another part, or its word is of no weight.
        time: seconds since the epoch when it went wrong.
    """

    agent: int
    outcome: RunOutcome
    message: str
    failure_class: str | None
    exit_code: int | None
    cause: str | None
    killed: bool
    elsewhere: bool
    time: float


@dataclass(frozen=True)
class WorkerStarted:
    """An agent started the process that it was told to start."""

    number: int


@dataclass(frozen=True)
class WorkerRuns:
    """A worker's process computes: it may say nothing for a while (a long call that lets no other thread run)."""

    number: int


@dataclass(frozen=True)
class WorkerReady:
    """A worker is warm. It is told again to every new coordinator."""

    member: Member


@dataclass(frozen=True)
class WorkerBeat:
    """A worker lives.

    Attributes:
        number: which one.
        step: that its training thread is at.
        phase: what that thread does.
        epoch: of the newest view that its training thread has taken; 0: none yet.
    """

    number: int
    step: int
    phase: Phase
    epoch: int


@dataclass(frozen=True)
class WorkerBroken:
    """The group of view `epoch` broke under a worker, which waits for the next view."""

    number: int
    epoch: int
    reason: str


@dataclass(frozen=True)
class WorkerCut:
    """A worker's connection broke: its process has ended, or it will come back."""

    number: int


@dataclass(frozen=True)
class WorkerGone:
    """A worker's process ended without a word of its own, or could not be started; its agent says so."""

    number: int
    why: str
    failure_class: str = "infrastructure"


@dataclass(frozen=True)
class WorkerDone:
    """A worker's process ended and left its marker; its agent says so."""

    number: int
    outcome: DoneOutcome
    message: str = ""
    failure_class: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The controller wants so many workers, and where they shall lie.

    Attributes:
        workers: in all.
        placement: (node, workers); None: wherever agents have room. Who lies elsewhere works until others are ready in
            their place.
    """

    workers: int
    placement: Placement | None = None


@dataclass(frozen=True)
class Stopping:
    """The run is told to stop: nobody is started or resized any more, those that are there end by themselves."""


@dataclass(frozen=True)
class Tick:
    """Time has passed; at least one a second."""


AgentWord = AgentJoined | AgentRoom | AgentLeaves | PartEnded | WorkerStarted | WorkerRuns | WorkerGone | WorkerDone
"""What an agent may say of itself and its workers, over the network too."""

WorkerWord = WorkerReady | WorkerBeat | WorkerBroken
"""What a worker may say of itself over the network."""

Event = AgentWord | WorkerWord | AgentGone | WorkerCut | Wanted | Stopping | Tick


@dataclass(frozen=True)
class Publish:
    """A new view: written down, then pushed to all workers."""

    view: View


@dataclass(frozen=True)
class StartWorker:
    """The agent `agent_of(number)` starts a worker of this number, and says `WorkerStarted` or `WorkerGone`."""

    number: int


@dataclass(frozen=True)
class EndWorker:
    """The agent `agent_of(number)` ends a worker's process group: by SIGKILL at once, whatever it does."""

    number: int
    why: str


@dataclass(frozen=True)
class ReleaseWorker:
    """A worker that is in no view finds out that there is no place for it: its `next_view` is None. It then ends."""

    number: int


@dataclass(frozen=True)
class StopWorkers:
    """Too few would stay without those who were told to go: every agent has its workers stop, with a checkpoint.

    Attributes:
        cause: of an agent that was told to go.
        grace_seconds: until the workers are killed.
    """

    cause: str
    grace_seconds: float


@dataclass(frozen=True)
class EndRun:
    """The run is over: agents end what is left; the coordinator's agent writes `finished`."""

    outcome: RunOutcome
    message: str
    failure_class: str | None = None


@dataclass(frozen=True)
class StandDown:
    """This is the smaller part of a partition: its agents end their workers and write no `finished`."""

    message: str


@dataclass(frozen=True)
class StartPart:
    """An agent of a fixed gang starts its ranks.

    Attributes:
        host: where rank 0 listens for the others.
        port: there.
    """

    host: str
    port: int


Instruction = Publish | StartWorker | EndWorker | ReleaseWorker | StopWorkers | EndRun | StandDown | StartPart
