"""Terms: which agent coordinates, and where. `membership/term-<n>.json`, claimed by exclusive creation, lowest first.

An agent whose term is not the newest any more coordinates no longer, whatever it believes.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from orchestrator.base.files import create_exclusive, read_json
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.allocations import boot_id
from orchestrator.rundir.layout import RunDirectory
from orchestrator.rundir.membership import membership_folder


@dataclass(frozen=True)
class Whereabouts:
    """A process, as another machine may know it."""

    node: str
    boot: str
    pid: int
    start_ticks: int

    @classmethod
    def own(cls) -> Whereabouts:
        """This process."""
        identity = ProcessIdentity.current()
        return cls(os.uname().nodename, boot_id(), identity.pid, identity.start_ticks)

    def is_dead(self) -> bool:
        """Whether the process is known to have ended; nobody can tell of another machine's."""
        here = (self.node, self.boot) == (os.uname().nodename, boot_id())
        return here and not ProcessIdentity(self.pid, self.start_ticks).alive()


@dataclass(frozen=True)
class Term:
    """One agent's time as the coordinator.

    Attributes:
        number: from 1.
        agent: who coordinates.
        host: where its hub listens.
        port: of the hub.
        process: the agent.
    """

    number: int
    agent: int
    host: str
    port: int
    process: Whereabouts


def claim_term(run: RunDirectory, term: Term) -> bool:
    """Begin a term; False where another agent was faster."""
    folder = membership_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    return create_exclusive(folder / f"term-{term.number:06d}.json", json.dumps(asdict(term)).encode())


def newest_term(run: RunDirectory) -> Term | None:
    """The term that counts; None before the first."""
    for path in sorted(membership_folder(run).glob("term-*.json"), reverse=True):
        document = read_json(path)
        if document is not None:
            return Term(**(document | {"process": Whereabouts(**document["process"])}))
    return None
