"""A node of an allocation on Slurm: `srun ... python -P -m orchestrator.runtime.node <run_dir> <allocation>`.

Says what the node has and where others reach it, then becomes the agent's guard.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from orchestrator.base.errors import BackendError, OrchestratorError
from orchestrator.rundir.allocations import AllocationFiles, run_has_finished
from orchestrator.rundir.batch import Batch, read_batch
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import read_launch
from orchestrator.runtime import slurm
from orchestrator.runtime.agent import allocation_of, run_agent
from orchestrator.runtime.logs import say

_LOOPBACK = "127.0.0.1"


def main(arguments: Sequence[str]) -> int:
    """Run this node's part of an allocation to its end.

    Args:
        arguments: the run directory and the allocation, whose first agent has its number.

    Returns:
        As `agent.main`.
    """
    step = dict(os.environ)
    try:
        allocation = allocation_of("node", arguments)
        files = allocation.agent(int(step[slurm.NODE_ID]))
        files.run.create()
        _log_to(files)
        batch = read_batch(allocation)
        grant = grant_of(step, batch)
    except OrchestratorError as error:
        say(str(error))
        return error.exit_code
    os.environ.clear()
    os.environ.update(slurm.for_ranks(step))
    code = run_agent(files, grant)
    if grant.place > 0 and code != 0:
        _speak_for(files, code)
    if grant.place > 0 and (code != 0 or run_has_finished(files.run)):
        _release(step, batch, allocation)
    return code


def grant_of(step: Mapping[str, str], batch: Batch) -> Grant:
    """What the agent of this node may use.

    Args:
        step: the environment that Slurm gave to the task.
        batch: what was written down for the allocation.

    Raises:
        BackendError: the node has fewer GPUs than its workers need, or no address.
    """
    node, nodes = step[slurm.NODE_NAME], int(step[slurm.STEP_NODES])
    return Grant(
        devices=_devices(step, batch, node),
        time_limit=batch.time_limit,
        workers=batch.workers,
        host=slurm.address_of(batch, node) if batch.joined or nodes > 1 else _LOOPBACK,
        node=node,
        nodes=nodes,
        place=int(step[slurm.NODE_ID]),
        grows=batch.grows,
        notice=batch.notice,
        grace=batch.grace,
    )


def _devices(step: Mapping[str, str], batch: Batch, node: str) -> tuple[str, ...] | None:
    """The node's GPUs, as Slurm says; no worker sees any where it asked for none."""
    needed = batch.workers * batch.gpus
    if not needed:
        return () if slurm.DEVICES in step else None
    devices = tuple(filter(None, step.get(slurm.DEVICES, "").split(",")))
    if len(devices) < needed:
        raise BackendError(
            f"node {node}: {needed} GPUs were asked for, and Slurm shows {len(devices)} ({slurm.DEVICES})",
            hint="gres.conf must name a file for each GPU; `slurm.gres` in the profile is what Slurm calls them",
        )
    return devices


def _log_to(files: AllocationFiles) -> None:
    """From here on this process writes to its agent's log; what `srun` carries ends with `srun`."""
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for standard in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(log, standard)
    os.close(log)


def _speak_for(files: AllocationFiles, code: int) -> None:
    """The last word of an agent that was killed before it could say one, so that nobody takes it for one that works.

    Of the first agent Slurm knows better how it ended.
    """
    try:
        if not files.has_finished():
            message = f"its agent ended with {code}, without a word"
            writer = EventWriter(files.run, files.writer, read_launch(files.run).token)
            writer.append("agent_finished", outcome="failed", message=message, failure_class="infrastructure")
    except (OSError, OrchestratorError) as error:
        say(str(error))


def _release(step: Mapping[str, str], batch: Batch, allocation: AllocationFiles) -> None:
    """End the job where the node of its batch step is lost: Slurm would let it hold the others until its time is up."""
    if allocation.has_finished() or slurm.srun_lives(step):
        return
    if others_work(allocation, batch, place=int(step[slurm.NODE_ID]), nodes=int(step[slurm.STEP_NODES])):
        return  # the last of them ends it
    why = "the node of its batch step was lost, and the agents of the others have ended"
    say(f"ending the job: {why}")
    try:
        allocation.give_back(why)
        slurm.ask(batch, "scancel", step[slurm.JOB_ID])
    except (OSError, OrchestratorError) as error:
        say(str(error))


def others_work(allocation: AllocationFiles, batch: Batch, *, place: int, nodes: int) -> bool:
    """Whether a run that has lost its first agent is carried on by others of the allocation, as an elastic one can be.

    Args:
        allocation: files of its first agent.
        batch: what was written down for it.
        place: of the agent that asks, which has ended.
        nodes: of the allocation.
    """
    if not batch.elastic or run_has_finished(allocation.run):
        return False
    return not all(allocation.agent(other).has_finished() for other in range(1, nodes) if other != place)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
