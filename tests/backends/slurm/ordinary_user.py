"""The engine in a process of another user's: a test says what it does, line by line, and reads what comes of it.

Started as `python ordinary_user.py FOLDER`; each line is a JSON list, the name of a function below and its arguments.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.backends.protocol import LaunchRequest, Needs, Standing, Terms
from orchestrator.backends.slurm import SlurmBackend
from orchestrator.base.errors import OrchestratorError
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import find_event
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.profile import ClusterProfile

SECTION = {
    "partition": "batch",
    "growth": {"partition": "spare"},
    "priorities": [{"at_least": 10, "qos": "high"}],
    "look_every": 0.2,
}


class User:
    """An engine, and what it was asked to launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        profile = ClusterProfile.model_validate({"name": "lab", "backend": "slurm", "slurm": SECTION})
        self.backend = SlurmBackend(profile, state=folder / "state")

    def launch(self, name: str, priority: int, growth: bool, argv: list[str], workers: int) -> float | None:
        """Hand it over; when Slurm's dry run says that it would start."""
        request = self._request(name)
        run, launch = request.directory, Launch(name, f"{name}-r1", 1, tuple(argv), str(self.folder), workers)
        run.job.create()
        run.create()
        raise_fence(run.job, 1)
        write_launch(run, launch)
        write_control(run, Control(generation=1, token=1, want="run", world_size=workers))
        terms = Terms(workers, workers, Standing(priority), growth=growth, needs=Needs(anywhere=True), expected=600.0)
        request = LaunchRequest(request.allocation, run, launch, terms=terms)
        start = self.backend.expected_start(request)
        self.backend.launch(request)
        return start

    def adjust(self, name: str, priority: int, held: bool) -> str:
        """Bring it in line; what Slurm does not let this user change."""
        return self.backend.adjust(self._request(name).allocation, Standing(priority, held=held))

    def see(self, name: str) -> dict[str, Any]:
        """What is seen of it, and how it says that it ended."""
        request = self._request(name)
        seen = self.backend.observe([request.allocation])[request.allocation]
        marker = find_event(request.directory, "finished")
        why = "" if seen.waits is None else seen.waits.text
        outcome = None if marker is None else marker.data["outcome"]
        return {"state": seen.state.value, "partition": seen.partition, "why": why, "outcome": outcome}

    def kill(self, name: str) -> None:
        """End it."""
        self.backend.kill(self._request(name).allocation)

    def _request(self, name: str) -> LaunchRequest:
        run = JobDirectory.under(self.folder, name).run(f"{name}-r1")
        return LaunchRequest(f"{run.run}.0", run, Launch(name, run.run, 1, ("true",), "/", 1))


def main() -> None:
    """Do what is asked, until nobody asks any more."""
    user = User(Path(sys.argv[1]))
    does: dict[str, Callable[..., Any]] = {
        "launch": user.launch,
        "adjust": user.adjust,
        "see": user.see,
        "kill": user.kill,
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"answer": does[name](*arguments)}
        except OrchestratorError as error:
            answer = {"error": f"{error.message} ({error.hint})"}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
    user.backend.close()


if __name__ == "__main__":
    main()
