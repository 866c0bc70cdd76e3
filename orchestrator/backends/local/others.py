"""Others that hold slots of this machine: agents of other servers, by their command lines, and other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from orchestrator.backends.protocol import Others
from orchestrator.base.process import arguments_of, program_of
from orchestrator.base.text import one_line

AGENT = "orchestrator.runtime.agent"
"""The module that an agent executes, with its run's directory and its allocation as arguments."""
_SHOWN = 3
_UP_TO_RUNS = 3
"""`<runs>/jobs/<job>/runs/<run>`: so many folders lie between a run and the root of all runs."""


class Agent(NamedTuple):
    """An agent that runs.

    Attributes:
        directory: of its run.
        allocation: its name.
    """

    directory: str
    allocation: str

    @classmethod
    def of(cls, arguments: list[str]) -> Agent | None:
        """By its command line; None where that is another program's."""
        return cls(arguments[-2], arguments[-1]) if AGENT in arguments[:-2] else None


def others_among(processes: Iterable[int], ours: Callable[[Agent], bool]) -> Others:
    """Those that are no agents of ours, each allocation once; empty where all are ours.

    Of a process that is no agent only its program is told, for its arguments may be secret.

    Args:
        processes: that hold slots.
        ours: whether this server started an agent.
    """
    agents: dict[str, str] = {}
    rest: list[str] = []
    for pid in sorted(processes):
        arguments = arguments_of(pid)
        agent = Agent.of(arguments)
        if agent is None and arguments:
            rest.append(f"{one_line(program_of(pid), 15)} (process {pid})")
        elif agent is not None and not ours(agent):
            agents.setdefault(agent.allocation, f"{_job(agent)} (process {pid}, runs under {_root(agent)})")
    return Others(_listed(list(agents.values())), _listed(rest))


def _listed(found: list[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _job(agent: Agent) -> str:
    return one_line(agent.allocation.rpartition("-r")[0] or agent.allocation, 60)


def _root(agent: Agent) -> str:
    parents = Path(agent.directory).parents
    return one_line(str(parents[_UP_TO_RUNS] if len(parents) > _UP_TO_RUNS else agent.directory), 120)
