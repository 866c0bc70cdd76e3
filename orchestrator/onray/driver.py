"""The driver of one allocation on a Ray cluster: `python -P -m orchestrator.onray.driver <run_dir> <allocation>`.

Ray starts it as a job, on the head. It reserves what the scheduler gave to the run, has an agent started in an actor on
each node, brings parts and lets parts go as control.json says, and ends when they have ended; whatever is left of the
run in Ray ends with it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence

from orchestrator.base.errors import OrchestratorError
from orchestrator.onray.allocation import Allocation
from orchestrator.onray.cluster import NAMESPACE
from orchestrator.rundir.allocations import AllocationFiles, run_has_finished
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.launch import read_launch
from orchestrator.rundir.rayjob import claim_ray_job, read_ray_job
from orchestrator.runtime.agent import allocation_of
from orchestrator.runtime.logs import say
from orchestrator.runtime.signals import SignalInbox

_TICK = 0.2


def main(arguments: Sequence[str]) -> int:
    """Run an allocation to its end.

    Args:
        arguments: the run directory and the allocation.

    Returns:
        0: the run ended as it should, or there was nothing to start; otherwise how it ended stands in its directory.
    """
    try:
        files = allocation_of("driver", arguments)
        files.run.create()
        say(f"the log goes on in {files.ray_log}")
        _log_to(files)
        if (why := _nothing_to_start(files)) is not None:
            say(f"{files.allocation}: {why}; nothing to start")
            return 0
        return _run(files)
    except OrchestratorError as error:
        say(str(error))
        return error.exit_code


def _nothing_to_start(files: AllocationFiles) -> str | None:
    """Why not to start; None where this process has claimed the allocation.

    Raises:
        Fenced: a newer run has taken over.
        NotFound: there is no launch.json.
    """
    check_fence(files.run.job, read_launch(files.run).token)
    if run_has_finished(files.run):
        return "the run has finished"
    if files.read_claim() is not None:
        return "it was called off, or another driver runs it"
    if not claim_ray_job(files, f"{os.uname().nodename} {os.getpid()}"):
        return "another driver runs it"
    return None


def _run(files: AllocationFiles) -> int:
    import ray

    job, launch = read_ray_job(files), read_launch(files.run)
    ray.init(address="auto", namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    inbox = SignalInbox([signal.SIGTERM, signal.SIGINT])  # after Ray, which sets handlers of its own
    allocation = Allocation(files, job, launch, ray.get_runtime_context().gcs_address)
    try:
        allocation.begin()
        while (code := allocation.step()) is None:
            if inbox.wait(_TICK):
                say("Ray ends this job")
                return 1
        return code
    finally:
        allocation.end()
        _wait_for_kills()
        ray.shutdown()


def _wait_for_kills() -> None:
    """Ray kills actors in the background of this process."""
    time.sleep(0.1)


def _log_to(files: AllocationFiles) -> None:
    """From here on this process writes to a log of ours; Ray's own goes with the cluster."""
    log = os.open(files.ray_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for standard in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(log, standard)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
