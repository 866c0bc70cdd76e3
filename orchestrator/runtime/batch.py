"""The batch step of a Slurm job: starts an agent on each node, and passes on that the time limit is near.

submitit calls `main` in the process that Slurm started as the job's script; no other function of ours travels to Slurm.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.base.errors import BackendError
from orchestrator.rundir.allocations import PARTED, AllocationFiles, run_has_finished
from orchestrator.rundir.batch import Batch, claim_batch, read_batch
from orchestrator.rundir.control import StopCause
from orchestrator.rundir.layout import RunDirectory
from orchestrator.rundir.membership import newest_view
from orchestrator.runtime import slurm
from orchestrator.runtime.logs import say
from orchestrator.runtime.membership.events import agent_of
from orchestrator.runtime.signals import SignalInbox

_LOOK_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
_OTHERS_SECONDS = 60.0
"""How long agents may take to end once the run is over, or its first agent has failed."""
_NOTED = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGCONT,
    signal.SIGCHLD,
)
"""submitit's handlers of some of these would write a checkpoint of their own and have Slurm start the job again."""


def main(run_directory: str, allocation: str) -> None:
    """Run an allocation to its end; the process exits as `srun` did, so that Slurm too says that a failed run failed.

    Args:
        run_directory: of its run.
        allocation: its name, that of its first agent.

    Raises:
        BackendError: `srun` cannot be executed.
        NotFound: there is no `slurm-<n>.json`.
    """
    inbox = SignalInbox(_NOTED)
    files = AllocationFiles(RunDirectory(Path(run_directory).absolute()), allocation)
    nodes = int(os.environ[slurm.JOB_NODES])
    if (why := _nothing_to_start(files, nodes)) is not None:
        say(f"{allocation}: {why}; nothing to start")
        return
    batch = read_batch(files)
    code = _watch(_start(files, batch, nodes), inbox, files, batch, nodes)
    _call_off_others(files, batch)
    if code > 0:
        sys.exit(code)


def _call_off_others(files: AllocationFiles, batch: Batch) -> None:
    """Once a run is over, the tasks of its array that Slurm has not started yet have nothing to do."""
    array = os.environ.get(slurm.ARRAY_JOB)
    if array is None or not _is_finished(files):
        return
    try:
        slurm.ask(batch, "scancel", "--state=PENDING", array)
    except BackendError as error:
        say(str(error))


def _is_finished(files: AllocationFiles) -> bool:
    try:
        return run_has_finished(files.run)
    except OSError:  # a disk that is away for a moment
        return False


def _nothing_to_start(files: AllocationFiles, nodes: int) -> str | None:
    if int(os.environ.get(slurm.RESTARTS, "0")) > 0:
        return "Slurm has started its job again, and only the controller starts a run again"
    if any(files.agent(place).read_claim() is not None for place in range(nodes)):
        return "it was called off, or another job runs it"
    if not claim_batch(files, os.environ[slurm.JOB_ID]):
        return "another job runs it"
    return None


def srun_argv(files: AllocationFiles, batch: Batch, nodes: int) -> list[str]:
    """One agent a node, on all that the job has there; the loss of one node is no end of the others."""
    return [
        slurm.program(batch, "srun"),
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        "--no-kill",
        "--kill-on-bad-exit=0",
        "--wait=0",
        "--overlap",
        "--cpu-bind=none",
        "--mpi=none",
        "--input=none",
        "--unbuffered",
        "--chdir=/",
        sys.executable,
        "-P",
        "-m",
        "orchestrator.runtime.node",
        str(files.run.path),
        files.allocation,
    ]


def _start(files: AllocationFiles, batch: Batch, nodes: int) -> subprocess.Popen[bytes]:
    argv = srun_argv(files, batch, nodes)
    try:
        return subprocess.Popen(
            argv, env=slurm.for_srun(os.environ, batch), stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise BackendError(
            f"{argv[0]} cannot be executed on {os.uname().nodename}: {error}",
            hint="`slurm.commands` in the cluster profile is the folder of Slurm's programs, on the nodes too",
        ) from error


def _watch(srun: subprocess.Popen[bytes], inbox: SignalInbox, files: AllocationFiles, batch: Batch, nodes: int) -> int:
    """Wait for `srun`; what Slurm tells this process, its agents find as a note.

    A node that was lost and came back within Slurm's SlurmdTimeout is waited for by `srun` for ever.
    """
    over_at: float | None = None
    stop_by: float | None = None
    while (code := srun.poll()) is None:
        signals = inbox.wait(_LOOK_SECONDS if stop_by is None else _AGAIN_SECONDS)
        if signal.SIGUSR1 in signals:
            stop_by = time.monotonic() + batch.grace
        if stop_by is not None and _pass_on(files, batch, stop_by):
            stop_by = None
        if signal.SIGTERM in signals:
            say("Slurm ends this job; it tells the agents itself")
        if not is_over(files, batch, nodes):
            over_at = None
        elif over_at is None:
            over_at = time.monotonic()
        if over_at is not None and time.monotonic() > over_at + _OTHERS_SECONDS:
            say("the run is over, and srun waits for agents that are lost: ending it")
            srun.kill()
            srun.wait()
    say(f"srun ended with {code}")
    return code


def _pass_on(files: AllocationFiles, batch: Batch, stop_by: float) -> bool:
    """Tell the agents that the time limit is near; False where the disk takes no note for a moment."""
    cause: StopCause = "preempt" if batch.wall_is_ours else "time_limit"
    left = max(0.0, stop_by - time.monotonic())
    try:
        files.request_stop(left, cause)
    except OSError as error:
        say(f"Slurm's time limit is near, and the agents cannot be told: {error}")
        return False
    say(f"Slurm's time limit is near: the agents are asked to stop within {left:.0f} s ({cause})")
    return True


def is_over(files: AllocationFiles, batch: Batch, nodes: int) -> bool:
    """Whether nothing is left to do for the agents of an allocation.

    Args:
        files: of its first agent.
        batch: what was written down for it.
        nodes: that it has, an agent on each.

    Returns:
        True where the run has ended; where all agents of an elastic one have left it, of whom each can fail alone, or
        some stood down for others who do not go on; and where the first agent of any other has failed, which leads it.
    """
    try:
        if _is_finished(files):
            return True
        if batch.elastic:
            agents = [files.agent(place) for place in range(nodes)]
            ends = [agent.end() for agent in agents]
            parted = {a.index for a, end in zip(agents, ends, strict=True) if end and end.get("cause") == PARTED}
            return None not in ends or (bool(parted) and _still_counts(files.run, parted))
        end = files.end()
    except OSError:  # a disk that is away for a moment
        return False
    return end is not None and end.get("outcome") == "failed"


def _still_counts(run: RunDirectory, agents: set[int]) -> bool:
    """Whether the newest view has workers of these agents: whoever went on without them would have made another."""
    view = newest_view(run)
    return view is not None and any(agent_of(number) in agents for number in view.numbers)
