"""What the controller asks of an engine. Implementations: `backends/{local,ray,slurm}`; fakes in `testing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from orchestrator.rundir.launch import Launch
from orchestrator.rundir.layout import RunDirectory


@dataclass(frozen=True)
class Needs:
    """What each worker needs beside its slots, and where it may lie.

    Attributes:
        memory: bytes; 0: nobody said.
        gpu_types: of which its GPUs have to be one; empty: any.
        not_on: nodes that it must not be on.
        same_rack: all workers in one rack.
        anywhere: any nodes; otherwise as few as possible.
    """

    memory: int = 0
    gpu_types: tuple[str, ...] = ()
    not_on: tuple[str, ...] = ()
    same_rack: bool = False
    anywhere: bool = False


@dataclass(frozen=True)
class Standing:
    """Where a job stands among others, for an engine with a queue of its own.

    Attributes:
        priority: the job's.
        team: that is charged.
        held: it must not start until it is released.
    """

    priority: int = 0
    team: str = "default"
    held: bool = False


@dataclass(frozen=True)
class Terms:
    """What an engine with a queue of its own has to know to place an allocation.

    Attributes:
        workers_min: of this allocation, at least.
        workers_max: of this allocation, at most.
        standing: among other jobs.
        name: the job's, for people.
        needs: of each worker.
        expected: seconds that it takes at most, by our estimate and its error; None: nobody has an idea.
        growth: it joins a run that is under way, and may be taken away again.
    """

    workers_min: int
    workers_max: int
    standing: Standing = Standing()
    name: str = ""
    needs: Needs = Needs()
    expected: float | None = None
    growth: bool = False


@dataclass(frozen=True)
class LaunchRequest:
    """One allocation of a run: all that an engine needs to start it.

    Attributes:
        time_limit: seconds that the user, or the cluster, lets the run take.
    """

    allocation: str
    """`<run>.<n>`; the engine's own job carries it, so that it is found again after a crash."""
    directory: RunDirectory
    launch: Launch
    time_limit: float | None = None
    placement: tuple[tuple[str, int], ...] = ()
    """(node, workers), where the scheduler put them; empty: the engine chooses."""
    terms: Terms | None = None
    """For an engine with a queue of its own."""
    memory: int = 0
    """Bytes that each worker needs, for an engine that gives out memory; 0: nobody said."""


@dataclass(frozen=True)
class LaunchPlan:
    """A dry run: the very command that would be executed.

    Attributes:
        argv: the command.
        env: what is added to its environment.
        slots: that it takes, at most.
        script: that is handed to the engine; None where there is none.
        shape: how its workers lie, in words: `2 nodes x 4 workers`; empty where the engine has no say in it.
        limit: seconds after which the engine ends it; None: it does not.
        limit_why: whose limit that is, and what it comes from.
        notes: what was assumed, because the engine did not say.
        cpus: cores that it takes beside its slots, at most; 0: not counted.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    slots: int
    script: str | None = None
    shape: str = ""
    limit: float | None = None
    limit_why: str = ""
    notes: tuple[str, ...] = ()
    cpus: int = 0


class AllocationState(Enum):
    """What an engine knows of an allocation."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    """It ran and is over; how it ended stands in the run directory, where it had time to say so."""
    ABSENT = "absent"
    """The engine answers, and knows nothing of it."""
    UNKNOWN = "unknown"
    """A part of the engine that would know does not answer: nothing is concluded."""


@dataclass(frozen=True)
class Wait:
    """Why an engine with a queue of its own has not started an allocation yet.

    Attributes:
        code: in the engine's words.
        text: in ours.
        remedy: what would help, in words; empty where only time does.
        command: that does it; empty where no command does.
        start: when the engine expects to start it, in seconds since the epoch; None: it does not say.
    """

    code: str
    text: str
    remedy: str = ""
    command: str = ""
    start: float | None = None


@dataclass(frozen=True)
class Observation:
    """One look at one allocation.

    Attributes:
        state: what the engine knows of it.
        failure_class: what the engine says ended it: preempted, time_limit, out_of_memory, infrastructure; permanent
            where somebody ended it by the engine's own means; None: nothing special.
        detail: in words.
        engine_id: what the engine calls it; empty where it has no such name.
        partition: of the engine, that it waits or runs in; empty where it has none.
        waits: of a pending one, where the engine has a queue of its own.
        nodes: where it lies; empty where that is not known.
        since: seconds since the epoch when it was started; None: not known.
        ends: when the engine will end it at the latest; None: not known.
        by_itself: its processes ended by themselves, perhaps on another machine: only the run can say how, and what it
            wrote may be seen here later.
        provisional: of an end: the engine may say more of it in a moment.
        tasks: of an array that runs: so many of its tasks still wait in the engine's queue.
    """

    state: AllocationState
    failure_class: str | None = None
    detail: str = ""
    engine_id: str = ""
    partition: str = ""
    waits: Wait | None = None
    nodes: tuple[str, ...] = ()
    since: float | None = None
    ends: float | None = None
    by_itself: bool = False
    provisional: bool = False
    tasks: int = 0


@dataclass(frozen=True)
class NodeFacts:
    """What an engine knows of one of its machines.

    Attributes:
        name: unique in the cluster.
        slots: that it has.
        free: that nobody holds, as far as the engine knows.
        gpu_type: such as `h200`; empty where nobody said.
        cpus: cores; 0: not counted (always so where slots are cores).
        cpus_free: that nobody holds, as far as the engine knows, where it gives out cores apart from slots.
        memory: bytes; 0: not counted.
        rack: empty where nobody said.
        up: whether anything new can run on it.
        note: why not.
        drained: somebody wants it empty, by the engine's own means; what runs there may go on.
        grows: allocations by which runs grow may lie there.
    """

    name: str
    slots: int
    free: int
    gpu_type: str = ""
    cpus: int = 0
    memory: int = 0
    rack: str = ""
    up: bool = True
    note: str = ""
    drained: bool = False
    cpus_free: int = 0
    grows: bool = True


@dataclass(frozen=True)
class Capacity:
    """What an engine has: slots (GPUs, or CPU cores where there is no GPU), and its machines one by one.

    Attributes:
        slots: in all.
        free: that nobody holds.
        largest_gang: slots that one run can have, with those of machines that may come.
        slot_kind: gpu, or cpu where slots are cores.
        nodes: its machines.
        cores_apart: slots are GPUs, and a worker without a GPU takes none: the engine gives out cores by themselves.
        counted_at: since when what is free is known, in seconds since the epoch; None: it is so now.
        faults: what the profile names and the engine does not have, and what is wrong with the engine itself, a
            sentence each.
        potential: machines that are not there, and come when something waits for them (an autoscaler's).
        grows: whether there may be such machines at another time: the engine wants to hear what is needed.
    """

    slots: int
    free: int
    largest_gang: int
    slot_kind: str = "cpu"
    nodes: tuple[NodeFacts, ...] = ()
    cores_apart: bool = False
    counted_at: float | None = None
    faults: tuple[str, ...] = ()
    potential: tuple[NodeFacts, ...] = ()
    grows: bool = False

    @property
    def machines(self) -> tuple[NodeFacts, ...]:
        """Those that are there, and those that may come."""
        return self.nodes + self.potential


@dataclass(frozen=True)
class Room:
    """Room for workers of one job.

    Attributes:
        workers: so many.
        cpus: cores of each.
        gpus: GPUs of each.
        memory: bytes of each; 0: not counted.
    """

    workers: int
    cpus: int
    gpus: int
    memory: int = 0


@dataclass(frozen=True)
class Others:
    """Who beside us holds slots of a node, in words.

    Attributes:
        jobs: of other servers; empty where none is known.
        programs: that belong to no server; empty where none is known.
        users: of the same engine, that are told apart no further; empty where none is known.
    """

    jobs: str = ""
    programs: str = ""
    users: str = ""


class Backend(Protocol):
    """An engine. Every method may raise BackendUnavailable: the state is then unknown, never failed."""

    @property
    def name(self) -> str:
        """`local`, `ray`, `slurm`."""
        ...

    @property
    def queues(self) -> bool:
        """Whether it has a queue of its own: what is launched waits there, and it decides when and where it starts."""
        ...

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        """The request that `launch` would send; changes nothing."""
        ...

    def expected_start(self, request: LaunchRequest) -> float | None:
        """When it would start, in seconds since the epoch, by a dry run of the engine; None where it does not say.

        Raises:
            LaunchRefused: the engine would not take it.
        """
        ...

    def launch(self, request: LaunchRequest) -> None:
        """Start an allocation. A second call with the same allocation starts nothing more.

        Raises:
            LaunchRefused: it can never start.
        """
        ...

    def observe(self, allocations: Sequence[str]) -> Mapping[str, Observation]:
        """Look at all of them in one batch."""
        ...

    def adjust(self, allocation: str, standing: Standing) -> str:
        """Bring a pending one in line with where its job stands now; harmless where it runs, or is over.

        Returns:
            What the engine does not let us change, in words; empty where it does.
        """
        ...

    def stop(self, allocation: str, *, grace_seconds: float) -> None:
        """Ask it to checkpoint and stop; after the grace time end it by force. Returns at once; may be repeated."""
        ...

    def kill(self, allocation: str) -> None:
        """End it now. When this returns, or soon after, `observe` says ENDED or ABSENT and its slots are free."""
        ...

    def list(self) -> Sequence[str]:
        """All allocations of ours that the engine holds, pending or running."""
        ...

    def capacity(self) -> Capacity:
        """What there is and what is free."""
        ...

    def announce(self, wanted: Sequence[Room]) -> None:
        """Say what there should be room for, to an engine that can bring machines; replaces what was said before."""
        ...

    def others(self, node: str) -> Others:
        """Who beside us holds slots of a node; empty where nobody does, or the engine does not know."""
        ...

    def close(self) -> None:
        """Let go of what this object itself uses, threads say; what it has launched goes on. May be repeated."""
        ...
