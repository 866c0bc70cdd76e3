"""When a launch of ours reaches what: looked up in the run's directory again and again while it is under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.events import read_events
from orchestrator.rundir.layout import RunDirectory

OURS = ("submitted", "accepted", "launched", "driver up", "in Ray", "places there", "agents up", "workers up")
PLAIN = ("submitted", "accepted", "driver up", "in Ray", "places there", "workers up")
"""What a launch reaches before its first step, in order."""
STEPPED = "first step"


class Watched:
    """One run of ours, and when it was first seen to be that far.

    Args:
        run: its directory.
        workers: how many it has.
    """

    def __init__(self, run: RunDirectory, workers: int) -> None:
        self._run = run
        self._workers = workers
        self._files = AllocationFiles(run, f"{run.run}.0")
        self.moments: dict[str, float] = {}

    def look(self) -> None:
        """See how far it is now."""
        for name, reached in self._signs().items():
            if name not in self.moments and reached():
                self.moments[name] = time.time()

    def _signs(self) -> Mapping[str, Callable[[], bool]]:
        return {
            "launched": self._files.ray_job.exists,
            "driver up": self._files.ray_claim.exists,
            "in Ray": lambda: "asking Ray for" in self._log(),
            "places there": lambda: "all places are there" in self._log(),
        }

    def _log(self) -> str:
        log = self._files.ray_log
        return log.read_text(errors="replace") if log.exists() else ""

    def told(self) -> dict[str, float]:
        """The same with what its own events say: agents, workers of a training, its first steps."""
        events = sorted(read_events(self._run, {}), key=lambda event: event.time)
        agents = [event.time for event in events if event.kind == "agent_started"]
        workers = [event.time for event in events if event.kind == "started"]
        steps = [event.time for event in events if event.kind == "progress" and event.data.get("samples", 0) > 0]
        found = dict(self.moments)
        if agents:
            found["agents up"] = agents[: self._workers][-1]
        for name, times in (("workers up", workers), (STEPPED, steps)):
            found |= {name: times[0]} if times else {}
        return found


def marks(folder: Path, workers: int) -> dict[str, float]:
    """What `first_step` left: all workers have begun, all have made their step; and what a plain driver left."""
    found = {}
    for name, mark in (("workers up", "begun"), (STEPPED, "stepped")):
        times = [float(path.read_text()) for path in folder.glob(f"{mark}-*")]
        if len(times) == workers:
            found[name] = max(times)
    plain = (path for path in map(folder.joinpath, PLAIN) if path.exists())
    return found | {path.name: float(path.read_text()) for path in plain}
