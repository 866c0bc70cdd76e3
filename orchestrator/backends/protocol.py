"""What the controller asks of an engine. Implementations: `backends/local`; fakes in `testing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from orchestrator.rundir.launch import Launch
from orchestrator.rundir.layout import RunDirectory


@dataclass(frozen=True)
class LaunchRequest:
    """One allocation of a run: all that an engine needs to start it."""

    allocation: str
    """`<run>.<n>`; the engine's own job carries it, so that it is found again after a crash."""
    directory: RunDirectory
    launch: Launch
    time_limit: float | None = None
    placement: tuple[tuple[str, int], ...] = ()
    """(node, workers), where the scheduler put them; empty: the engine chooses."""


@dataclass(frozen=True)
class LaunchPlan:
    """A dry run: the very command that would be executed."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    slots: int
    script: str | None = None


class AllocationState(Enum):
    """What an engine knows of an allocation."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    """It ran and is over; how it ended stands in the run directory, where it had time to say so."""
    ABSENT = "absent"
    """The engine answers, and knows nothing of it."""


@dataclass(frozen=True)
class Observation:
    """One look at one allocation."""

    state: AllocationState
    failure_class: str | None = None
    """What the engine says ended it: preempted, time_limit, out_of_memory, infrastructure; None: nothing special."""
    detail: str = ""


@dataclass(frozen=True)
class NodeFacts:
    """What an engine knows of one of its machines.

    Attributes:
        name: unique in the cluster.
        slots: that it has.
        free: that nobody holds, as far as the engine knows.
        gpu_type: such as `h200`; empty where nobody said.
        cpus: cores; 0: not counted (always so where slots are cores).
        memory: bytes; 0: not counted.
        rack: empty where nobody said.
        up: whether anything can run on it.
        note: why not.
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


@dataclass(frozen=True)
class Capacity:
    """What an engine has: slots (GPUs, or CPU cores where there is no GPU), and its machines one by one."""

    slots: int
    free: int
    largest_gang: int
    slot_kind: str = "cpu"
    nodes: tuple[NodeFacts, ...] = ()


@dataclass(frozen=True)
class Others:
    """Who beside us holds slots of a node, in words.

    Attributes:
        jobs: of other servers; empty where none is known.
        programs: that belong to no server; empty where none is known.
    """

    jobs: str = ""
    programs: str = ""


class Backend(Protocol):
    """An engine. Every method may raise BackendUnavailable: the state is then unknown, never failed."""

    @property
    def name(self) -> str:
        """`local`, `ray`, `slurm`."""
        ...

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        """The request that `launch` would send; changes nothing."""
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

    def others(self, node: str) -> Others:
        """Who beside us holds slots of a node; empty where nobody does, or the engine does not know."""
        ...
