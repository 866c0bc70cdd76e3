"""Allocations that Slurm holds although nobody works in them any more: their batch step was lost with its node.

As a rule their last agent ends them. It cannot where another agent was lost, too, for that one might go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.backends.slurm.records import Record
from orchestrator.backends.slurm.shape import MOST_NODES
from orchestrator.base.clock import Clock
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.text import one_line
from orchestrator.rundir.allocations import agent_writer
from orchestrator.rundir.events import first_event

_LOG = logging.getLogger(__name__)

_EVERY = 60.0
"""Seconds between two looks at what agents have written; the second one that finds nobody at work counts."""
_WHY = "the node of its batch step was lost, and nobody works on its other nodes"


class Abandoned:
    """Has them ended.

    Args:
        clock: what time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looks: dict[str, tuple[float, bool]] = {}

    def end(self, record: Record, seen: Observation, kill: Callable[[str], None]) -> None:
        """End an allocation that nobody works in.

        Args:
            record: of it.
            seen: what Slurm says of it now.
            kill: ends it.
        """
        if seen.state is not AllocationState.RUNNING or record.tasks or record.growth or not seen.nodes:
            self._looks.pop(record.allocation, None)
            return
        now, last = self._clock.monotonic(), self._looks.get(record.allocation)
        if last is not None and now - last[0] < _EVERY:
            return
        try:
            left = _is_left(record, frozenset(seen.nodes))
            self._looks[record.allocation] = now, left
            if left and last is not None and last[1]:
                _LOG.warning("%s: %s: it is ended", record.allocation, _WHY)
                record.files.give_back(_WHY)
                kill(record.allocation)
        except (OSError, BackendUnavailable) as error:  # the next look tries again
            _LOG.warning("%s: %s", record.allocation, one_line(str(error), 300))


def _is_left(record: Record, nodes: frozenset[str]) -> bool:
    """Whether its batch step was lost, and no agent is at work on the nodes that Slurm still counts as its own."""
    files = record.files
    first = _node(record, 0)
    if not first or first in nodes:
        return False
    there = [place for place in range(1, MOST_NODES) if _node(record, place) in nodes]
    return all(files.agent(place).has_finished() for place in there)


def _node(record: Record, place: int) -> str:
    """Of an agent, as it said itself when it started; empty where it did not."""
    event = first_event(record.files.run, agent_writer(record.files.index + place))
    return "" if event is None else str(event.data.get("node", ""))
