"""The environment of a rank: what it may read of its run, and nothing of the agent's own."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from orchestrator.rundir.allocations import MARK, AllocationFiles
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch, for_jobs

RUN_DIR = "ORCHESTRATOR_RUN_DIR"
JOB = "ORCHESTRATOR_JOB"
RUN = "ORCHESTRATOR_RUN"
TOKEN = "ORCHESTRATOR_FENCING_TOKEN"
SLOTS = "ORCHESTRATOR_SLOTS"
NODE_SLOTS = "ORCHESTRATOR_NODE_SLOTS"
"""Those of them that lie on this process's node; absent: all."""
WORKER = "ORCHESTRATOR_WORKER"
"""A worker's number, in an elastic run."""
STOP_SIGNAL = "ORCHESTRATOR_STOP_SIGNAL"
"""The number of the signal by which the agent asks a rank to stop, where the engine signals every process itself: what
the engine says to one node concerns the agent, and is no stop of the run. Absent: SIGTERM, or SIGUSR1."""
HOST = "ORCHESTRATOR_HOST"
"""Where processes of the run on other nodes reach this one; absent: there are none."""
RAY = "ORCHESTRATOR_RAY"
"""What a process that uses the cluster's own Ray has to know: see `onray.cluster`; absent: it starts one of its own."""
DISTRIBUTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torch's processes of one group go by."""


def stop_signal(grant: Grant) -> signal.Signals:
    """By what an agent asks a rank to stop that knows of its run."""
    return signal.SIGUSR1 if grant.node else signal.SIGTERM


def process_count(launch: Launch, grant: Grant) -> int:
    """How many processes are started on this node: one a worker, or one for all of them."""
    if launch.array and grant.workers is not None:
        return grant.workers
    return 1 if launch.ranks_share_slots else slots_here(launch, grant)


def slots_here(launch: Launch, grant: Grant) -> int:
    """Workers' slots of a gang that lie on this node."""
    return grant.gang[grant.place] if grant.gang else launch.workers // grant.nodes


def rank_of(files: AllocationFiles, launch: Launch, local: int, grant: Grant) -> int:
    """The rank of a process of this node; of an array the engine may have started each of them by itself."""
    if launch.array:
        return files.index + local
    if grant.gang and not launch.ranks_share_slots:
        return sum(grant.gang[: grant.place]) + local
    return grant.place * process_count(launch, grant) + local


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what a server or another run may have left in it."""
    return {name: value for name, value in for_jobs(environment).items() if name not in DISTRIBUTED}


def rank_environment(
    files: AllocationFiles, launch: Launch, local: int, *, grant: Grant, host: str, port: int
) -> dict[str, str]:
    """What is added to the inherited environment of one rank of a fixed gang.

    Args:
        files: the allocation.
        launch: what is started.
        local: which process of this node.
        grant: what may be used here.
        host: where rank 0 listens for the others.
        port: there.
    """
    here, devices = process_count(launch, grant), grant.devices
    if devices is not None and not launch.ranks_share_slots:
        devices = devices[local * launch.gpus_per_worker : (local + 1) * launch.gpus_per_worker]
    added = _common(files, launch, grant, devices)
    if grant.nodes > 1:
        added |= {NODE_SLOTS: str(slots_here(launch, grant)), HOST: grant.host}
    if launch.ranks_share_slots and grant.place > 0:  # one that joins: no rank of a process group
        return added
    return added | {
        "RANK": str(rank_of(files, launch, local, grant)),
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": str(1 if launch.ranks_share_slots else launch.workers),
        "LOCAL_WORLD_SIZE": str(here),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
    }


def worker_environment(
    files: AllocationFiles, launch: Launch, number: int, *, grant: Grant, devices: tuple[str, ...] | None
) -> dict[str, str]:
    """What is added to the inherited environment of one worker of an elastic run, which learns the rest by views.

    Args:
        files: the allocation.
        launch: what is started.
        number: of the worker.
        grant: of the allocation.
        devices: its GPUs; None: leave to the engine.
    """
    return _common(files, launch, grant, devices) | {WORKER: str(number), HOST: grant.host}


def _common(files: AllocationFiles, launch: Launch, grant: Grant, devices: tuple[str, ...] | None) -> dict[str, str]:
    """The workload cannot change the engine's own part."""
    added = {"OMP_NUM_THREADS": str(launch.cpus_per_worker), "PYTHONUNBUFFERED": "1"} | dict(launch.env)
    if devices is not None:
        added["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    if grant.ray:
        added[RAY] = grant.ray
    if grant.node:
        added[STOP_SIGNAL] = str(int(stop_signal(grant)))
    return added | {
        MARK: files.allocation,
        RUN_DIR: str(files.run.path),
        JOB: launch.job,
        RUN: launch.run,
        TOKEN: str(launch.token),
        SLOTS: str(launch.workers),
    }
