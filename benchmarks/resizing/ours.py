"""This engine: real agents on one run directory, each a node with room for two workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import read_events
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.grant import GRANT, Grant
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from resizing.contender import Contender
from resizing.model import SLICES
from resizing.processes import end_tree, kill

WORKER = Path(__file__).with_name("ours_worker.py")
_TOKEN = 1


class Ours(Contender):
    """A run with two allocations; its wishes are those that the controller writes."""

    grows_by_coming_back = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._control = Control(generation=1, token=_TOKEN, want="run", world_size=SLICES)
        self._run: RunDirectory = JobDirectory.under(folder, "race").run("race-r1")

    def start(self) -> None:
        """Two agents of one run."""
        self._run.job.create()
        self._run.create()
        raise_fence(self._run.job, _TOKEN)
        launch = Launch(
            job="race",
            run=self._run.run,
            token=_TOKEN,
            argv=(sys.executable, str(WORKER), str(self.folder)),
            workdir=str(self.folder),
            workers=SLICES,
            elastic=True,
            max_workers=SLICES,
            replacements=1000,
        )
        write_launch(self._run, launch)
        write_control(self._run, self._control)
        self._nodes = [self._node(0), self._node(1)]

    def shrink(self) -> None:
        """`orchestrator resize JOB 2`: the newest workers leave, which are the second node's."""
        self._wish(SLICES // 2)

    def grow(self) -> None:
        """`orchestrator resize JOB 4`."""
        self._wish(SLICES)

    def kill_worker(self) -> None:
        """The newest worker of all."""
        members = max((e for e in read_events(self._run, {}) if e.kind == "resized"), key=lambda e: e.data["epoch"])
        kill([max(members.data["members"], key=lambda member: int(member["number"]))["pid"]])

    def lose_node(self) -> None:
        """The guard, the agent and the workers of the second allocation, by SIGKILL."""
        end_tree(self._nodes[-1])

    def come_back(self) -> None:
        """A new allocation joins: one that has ended never runs again."""
        self._nodes.append(self._node(len(self._nodes)))

    def _wish(self, workers: int) -> None:
        self._control = self._control.next(world_size=workers)
        write_control(self._run, self._control)

    def _node(self, number: int) -> subprocess.Popen[bytes]:
        allocation = f"{self.folder.parent.name}-{self._run.run}.{number}"
        argv = [sys.executable, "-P", "-m", "orchestrator.runtime.agent", str(self._run.path), allocation]
        environment = {GRANT: Grant(workers=SLICES // 2).to_text(), "GLOO_SOCKET_IFNAME": "lo"}
        return self.launch(argv, self._run.logs / f"node-{number}.log", environment)
