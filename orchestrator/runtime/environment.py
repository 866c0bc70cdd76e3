"""The environment of a rank: what it may read of its run, and nothing of the agent's own."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.rundir.allocations import MARK, AllocationFiles
from orchestrator.rundir.launch import Launch, for_jobs

RUN_DIR = "ORCHESTRATOR_RUN_DIR"
JOB = "ORCHESTRATOR_JOB"
RUN = "ORCHESTRATOR_RUN"
TOKEN = "ORCHESTRATOR_FENCING_TOKEN"
SLOTS = "ORCHESTRATOR_SLOTS"
WORKER = "ORCHESTRATOR_WORKER"
"""A worker's number, in an elastic run."""
HOST = "ORCHESTRATOR_HOST"
"""Where the workers of other allocations reach this one, in an elastic run."""
_DISTRIBUTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def process_count(launch: Launch) -> int:
    """How many processes are started: one a worker, or one for all of them."""
    return 1 if launch.ranks_share_slots else launch.workers


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what a server or another run may have left in it."""
    return {name: value for name, value in for_jobs(environment).items() if name not in _DISTRIBUTED}


def rank_environment(
    files: AllocationFiles, launch: Launch, rank: int, *, port: int, devices: tuple[str, ...] | None
) -> dict[str, str]:
    """What is added to the inherited environment of one rank of a fixed gang.

    Args:
        files: the allocation.
        launch: what is started.
        rank: which process.
        port: where rank 0 listens for the others.
        devices: GPUs of the allocation; None: leave to the engine.
    """
    world = str(process_count(launch))
    if devices is not None and not launch.ranks_share_slots:
        devices = devices[rank * launch.gpus_per_worker : (rank + 1) * launch.gpus_per_worker]
    return _common(files, launch, devices) | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": world,
        "LOCAL_WORLD_SIZE": world,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def worker_environment(
    files: AllocationFiles, launch: Launch, number: int, *, host: str, devices: tuple[str, ...] | None
) -> dict[str, str]:
    """What is added to the inherited environment of one worker of an elastic run, which learns the rest by views.

    Args:
        files: the allocation.
        launch: what is started.
        number: of the worker.
        host: where the workers of other allocations reach it.
        devices: its GPUs; None: leave to the engine.
    """
    return _common(files, launch, devices) | {WORKER: str(number), HOST: host}


def _common(files: AllocationFiles, launch: Launch, devices: tuple[str, ...] | None) -> dict[str, str]:
    """The workload cannot change the engine's own part."""
    added = {"OMP_NUM_THREADS": str(launch.cpus_per_worker), "PYTHONUNBUFFERED": "1"} | dict(launch.env)
    if devices is not None:
        added["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    return added | {
        MARK: files.allocation,
        RUN_DIR: str(files.run.path),
        JOB: launch.job,
        RUN: launch.run,
        TOKEN: str(launch.token),
        SLOTS: str(launch.workers),
    }
