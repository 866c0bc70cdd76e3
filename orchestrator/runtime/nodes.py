"""Which node of the engine each agent of a run is on: as it said itself when it started."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable

from orchestrator.rundir.allocations import agent_writer
from orchestrator.rundir.events import first_event
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.layout import RunDirectory


class NodeNames:
    """The nodes of one run's agents, of which each is read once.

    Args:
        run: the run.
        grant: of the agent that asks; where its node has no name, none has.
    """

    def __init__(self, run: RunDirectory, grant: Grant) -> None:
        self._run = run
        self._named = bool(grant.node)
        self._names: dict[int, str] = {}

    def spread(self, agents: Iterable[int]) -> dict[str, dict[str, int]]:
        """How many workers are on each node, as a part of an event; nothing where the nodes have no names.

        Args:
            agents: the agent of each worker.
        """
        if not self._named:
            return {}
        counted = Counter(self.name(agent) for agent in agents)
        return {} if "" in counted else {"nodes": dict(sorted(counted.items()))}

    def name(self, agent: int) -> str:
        """Of an agent's node; empty where its first event cannot be read now."""
        if agent not in self._names:
            with contextlib.suppress(OSError):
                event = first_event(self._run, agent_writer(agent))
                if event is not None and event.data.get("node"):
                    self._names[agent] = str(event.data["node"])
        return self._names.get(agent, "")


def named(grant: Grant) -> dict[str, str]:
    """The part of an agent's first event that tells its node."""
    return {"node": grant.node} if grant.node else {}
