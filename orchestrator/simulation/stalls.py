"""Notices that a simulation gets nowhere: nothing can start any more, or nobody gets done between failures."""

from __future__ import annotations

from orchestrator.simulation.world import World

MOST = 2_000
"""So many decisions in a row with nothing running, or runs thrown out with nothing done for good, are no accident."""
NEVER_START = "the rest of the queue can never start"
NEVER_FINISH = "the jobs that are left cannot finish between failures"


class Stalls:
    """Looks at the world after each decision once nobody is to come any more."""

    def __init__(self) -> None:
        self._idle = 0
        self._progress = self._thrown_out = 0
        self._since = 0.0

    def reason(self, world: World) -> str:
        """Why it is of no use to go on; empty where it is."""
        self._idle = 0 if world.busy else self._idle + 1
        if self._idle > MOST:
            return NEVER_START
        if world.progress != self._progress:
            self._begin(world)
        elif world.thrown_out - self._thrown_out > MOST:
            if not any(life.placement and life.since <= self._since for life in world.lives.values()):
                return NEVER_FINISH
            self._begin(world)
        return ""

    def _begin(self, world: World) -> None:
        self._progress, self._thrown_out, self._since = world.progress, world.thrown_out, world.now
