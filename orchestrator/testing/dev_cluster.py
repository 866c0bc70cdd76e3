"""`DevCluster`: a development Slurm of cluster/slurm/dev-cluster, driven from Python."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.base.paths import bundled

MISSING = 3
"""What `dev-cluster up` ends with where Slurm, munge or MariaDB is not installed."""
_PATIENCE = 60.0
_SAVED_AFTER = 6.0
_NO_CONTROLLER = re.compile("Unable to contact slurm controller|Transport endpoint is not connected")


class DevClusterError(Exception):
    """`dev-cluster` or a command of Slurm's ended with `code`; the text is what it said."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class DevCluster:
    """A real Slurm on this machine.

    Attributes:
        folder: all that it keeps.
        conf: its slurm.conf.
        environment: the environment in which Slurm's commands talk to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "etc" / "slurm.conf"
        self._revived = False
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        self.environment = ours | {"SLURM_CONF": str(self.conf)}

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of its nodes."""
        return tuple(self.states())

    def up(self, **size: int) -> None:
        """Bring up all that does not run; it goes when this process ends.

        Args:
            size: nodes, gpus, cpus, memory (MiB), where they are not the default.

        Raises:
            DevClusterError: It does not come up; `code` is `MISSING` where packages are missing.
        """
        options = [text for name, value in size.items() for text in (f"--{name}", str(value))]
        self.dev_cluster("up", *options, "--while", str(os.getpid()))

    def down(self) -> None:
        """End it and remove all that it keeps."""
        self.dev_cluster("down")

    def kill_node(self, name: str) -> None:
        """Lose a machine: its slurmd, its steps and everything under them; the controller notices after 15 s."""
        self.dev_cluster("kill-node", name)

    def kill_node_noticed(self, name: str) -> None:
        """The same, and the controller is told at once, as by a health check."""
        self.dev_cluster("kill-node", name, "--noticed")

    def kill_slurmd(self, name: str) -> None:
        """Lose a node's slurmd; its steps live on."""
        self.dev_cluster("kill-slurmd", name)

    def start_node(self, name: str) -> None:
        """Start a node's slurmd, and wait until the controller hears it."""
        self.dev_cluster("start-node", name)

    def stop_accounting(self) -> None:
        """Lose slurmdbd."""
        self.dev_cluster("stop-accounting")

    def start_accounting(self) -> None:
        """Start slurmdbd."""
        self.dev_cluster("start-accounting")

    def restart_controller(self) -> None:
        """Lose slurmctld and start it again."""
        self.dev_cluster("restart-controller")

    def dev_cluster(self, command: str, *arguments: str) -> str:
        """What `dev-cluster COMMAND` prints.

        Raises:
            DevClusterError: It failed.
        """
        script = bundled("cluster") / "slurm" / "dev-cluster"
        return self.run(sys.executable, "-B", str(script), command, *arguments, "--at", str(self.folder))

    def run(self, *argv: str) -> str:
        """What a command prints that talks to this cluster.

        A slurmctld that died by itself, as Slurm's does once in thousands of tests, is started again with a warning;
        one that does so twice is not.

        Raises:
            DevClusterError: It failed.
        """
        done = self._run(argv)
        if done.returncode and _NO_CONTROLLER.search(done.stderr) and self._revive():
            done = self._run(argv)
        if done.returncode:
            raise DevClusterError(done.returncode, (done.stderr or done.stdout).strip())
        return done.stdout

    def _run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=_PATIENCE)

    def _revive(self) -> bool:
        """Whether slurmctld did not run, and runs again; a warning tells of it."""
        if self._revived:
            return False
        try:
            self.dev_cluster("status")
        except DevClusterError as error:
            if not re.search(r"^slurmctld +does not run$", str(error), re.MULTILINE):
                return False
        else:
            return False
        last = (self.folder / "log" / "slurmctld.out").read_text(errors="replace")[-2000:]
        warnings.warn(f"slurmctld had ended by itself; its last words: {last}", stacklevel=3)
        self.restart_controller()
        self._revived = True
        return True

    def states(self) -> dict[str, str]:
        """The state of each node, in Slurm's words; one that does not answer has a star."""
        lines = self.run("sinfo", "--noheader", "--Node", "--partition=batch", "--format=%N %T").splitlines()
        return {words[0]: words[1] for words in sorted(line.split() for line in lines)}

    def jobs(self) -> dict[str, str]:
        """The state of each job that the controller still has at work or waiting."""
        lines = self.run("squeue", "--noheader", "--format=%A %T").splitlines()
        return {words[0]: words[1] for words in (line.split() for line in lines)}

    def submit(self, script: str, *options: str) -> str:
        """The id of a new batch job of one line of shell."""
        return self.run("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}").strip()

    def wait_for(self, condition: Callable[[], object], patience: float = _PATIENCE) -> None:
        """Wait until something holds.

        Raises:
            TimeoutError: It does not; the text says what the cluster looks like.
        """
        until = time.monotonic() + patience
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"it never happened; nodes: {self.states()}, jobs: {self.jobs()}")
            time.sleep(0.05)

    def await_saved(self) -> None:
        """Wait until slurmctld has written down all that it has told us; it does so up to 5 s after a change."""
        told = time.time()
        jobs = self.folder / "state" / "job_state"
        self.wait_for(lambda: time.time() > told + _SAVED_AFTER or (jobs.exists() and jobs.stat().st_mtime > told))

    def mend(self) -> None:
        """No job, every daemon, every node: as it was when it came up (but for what accounting remembers)."""
        self.up()
        if self.jobs():
            for how in (["--signal=KILL", "--full"], []):
                with contextlib.suppress(DevClusterError):  # a job that ends meanwhile
                    self.run("scancel", *how, *self.jobs())
            self.wait_for(lambda: not self.jobs())
        for name, state in self.states().items():
            if state.startswith("drain"):
                self.run("scontrol", "update", f"NodeName={name}", "State=RESUME")
