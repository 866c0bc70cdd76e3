"""What a backend lets an agent use: handed over in the agent's environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from orchestrator.base.slots import Lease, SlotLocks

GRANT = "ORCHESTRATOR_GRANT"
"""How a backend tells an agent what it may use: a JSON object, see `Grant`."""


@dataclass(frozen=True)
class Pool:
    """A machine's slots, of which an agent holds some, and may take more and give back what it does not need.

    Attributes:
        folder: of the locks.
        kind: `cpu` or `gpu`; a GPU's slot has the name of its device.
        names: of all slots.
        each: slots of one worker.
        slots: numbers of those that are held.
        handles: the open files that hold them, inherited.
    """

    folder: str
    kind: str
    names: tuple[str, ...]
    each: int
    slots: tuple[int, ...]
    handles: tuple[int, ...]

    @property
    def locks(self) -> SlotLocks:
        """The locks of all its slots."""
        return SlotLocks(Path(self.folder), self.kind, self.names)

    @property
    def lease(self) -> Lease:
        """Those that are held from the start."""
        return Lease(self.slots, self.handles)

    @classmethod
    def of(cls, locks: SlotLocks, lease: Lease, each: int) -> Pool:
        """The pool of an agent that inherits a lease."""
        return cls(str(locks.folder), locks.kind, locks.names, each, lease.slots, lease.handles)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Pool:
        """From JSON values."""
        return cls(
            folder=str(document["folder"]),
            kind=str(document["kind"]),
            names=tuple(document["names"]),
            each=int(document["each"]),
            slots=tuple(document["slots"]),
            handles=tuple(document["handles"]),
        )


@dataclass(frozen=True)
class Grant:
    """What an agent may use.

    Attributes:
        devices: identifiers of its GPUs; None where the engine says so itself or there are none.
        time_limit: seconds until the agent stops its ranks.
        workers: of an elastic run, how many this allocation has room for; None: all that are launched.
        host: the name or address by which workers of other allocations reach this one.
        pool: where room for more can be taken; None: the allocation is as large as it is.
        node: what the engine calls this machine; empty where it has only one.
        nodes: machines of the allocation, each with an agent of its own.
        place: of this agent among them, from 0.
        gang: workers on each of these machines, in order; empty: on all of them as many as here.
        ray: what a rank that uses the cluster's own Ray has to know; empty: there is none for it.
        placed: on which nodes its workers lie, our scheduler says: by control.json, while the run goes on.
        grows: further allocations may join it, where more workers are wanted than the run's fewest.
        notice: seconds until the processes are killed after a signal to stop that does not come with a longer or
            shorter time.
        grace: seconds until they are killed after its own time limit, behind which the engine's lies.
    """

    devices: tuple[str, ...] | None = None
    time_limit: float | None = None
    workers: int | None = None
    host: str = "127.0.0.1"
    pool: Pool | None = None
    node: str = ""
    nodes: int = 1
    place: int = 0
    gang: tuple[int, ...] = ()
    ray: str = ""
    placed: bool = False
    grows: bool = False
    notice: float = 20.0
    grace: float = 20.0

    def to_text(self) -> str:
        """The value of the environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Grant:
        """The inverse; nothing is limited where the variable is absent."""
        document = json.loads(environment.get(GRANT, "{}"))
        devices, pool = document.get("devices"), document.get("pool")
        known = {field.name for field in fields(cls)}
        return cls(
            **{name: value for name, value in document.items() if name in known}
            | {"devices": None if devices is None else tuple(devices), "pool": pool and Pool.from_json(pool)}
            | {"gang": tuple(document.get("gang", ()))}
        )
