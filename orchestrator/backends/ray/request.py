"""What Ray is asked for: a pure function of the launch and the profile."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Any

from orchestrator.backends.protocol import LaunchRequest
from orchestrator.backends.ray.nodes import Used
from orchestrator.base.errors import LaunchRefused
from orchestrator.base.text import counted
from orchestrator.rundir.allocations import is_safe_name
from orchestrator.rundir.launch import Launch, for_nodes
from orchestrator.rundir.rayjob import RayJob
from orchestrator.spec.ray import RaySection

DRIVER = "orchestrator.onray.driver"
"""The module that a Ray job executes, with its run's directory and its allocation as arguments."""


def argv_of(request: LaunchRequest, section: RaySection) -> tuple[str, ...]:
    """The driver's command."""
    directory = str(request.directory.path.absolute())
    return (section.python or sys.executable, "-P", "-m", DRIVER, directory, request.allocation)


def job_of(request: LaunchRequest, section: RaySection) -> dict[str, Any]:
    """The body of `POST /api/jobs/`; the driver itself takes nothing of the cluster."""
    return {
        "submission_id": request.allocation,
        "entrypoint": shlex.join(argv_of(request, section)),
        "metadata": {"job": request.launch.job, "run": request.launch.run},
    }


def ray_job_of(request: LaunchRequest, section: RaySection, environment: Mapping[str, str]) -> RayJob:
    """What the driver has to know."""
    return RayJob(
        placement=request.placement,
        start_within=section.start_within,
        time_limit=request.time_limit,
        memory=request.memory,
        env=for_nodes(environment) | section.env,
    )


def each_of(launch: Launch) -> Used:
    """What one worker reserves."""
    return Used(cpus=float(launch.cpus_per_worker), gpus=float(launch.gpus_per_worker))


def shape_of(request: LaunchRequest) -> str:
    """Where its workers lie: `n1: 2 workers, n2: 1`; their number where nobody has said where."""
    if not request.placement:
        return counted(request.launch.workers, "worker")
    (node, first), *rest = request.placement
    return ", ".join([f"{node}: {counted(first, 'worker')}", *(f"{node}: {count}" for node, count in rest)])


def check(request: LaunchRequest) -> None:
    """Nothing that could never start, or that is more than one word to the shell that starts the driver.

    Raises:
        LaunchRefused: it is.
    """
    launch = request.launch
    if not is_safe_name(request.allocation):
        raise LaunchRefused(f"{request.allocation!r} is no safe identifier of an allocation")
    names = [node for node, _ in request.placement]
    strings = [*launch.argv, launch.workdir, *launch.env, *launch.env.values(), *names, str(request.directory.path)]
    if not launch.argv or any("\0" in text for text in strings):
        raise LaunchRefused(f"run {launch.run} has no command, or a NUL byte in one of its strings")
