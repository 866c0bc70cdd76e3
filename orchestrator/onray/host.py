"""The actor that hosts one part of a run: it says where it is, starts the part's agent, and ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.grant import GRANT, Grant
from orchestrator.rundir.launch import for_jobs

_RAYS_OWN = ("RAY_", "RAYLET_", "BUNDLED_RAY_")


@dataclass(frozen=True)
class Whereabouts:
    """What an actor knows of its node.

    Attributes:
        address: by which other nodes reach it.
        gpus: identifiers of the GPUs that Ray gave to the actor.
    """

    address: str
    gpus: tuple[str, ...]


class Host:
    """For one part; in a process of Ray's, on the part's node."""

    def whereabouts(self) -> Whereabouts:
        """Where this is."""
        import ray

        gpus = tuple(str(gpu) for gpu in ray.get_gpu_ids())
        return Whereabouts(ray.util.get_node_ip_address(), gpus)  # type: ignore[no-untyped-call]

    def run(self, files: AllocationFiles, grant: Grant, env: Mapping[str, str]) -> int:
        """Run the part's agent to its end.

        Args:
            files: of the part.
            grant: what the agent may use.
            env: of whatever runs, beside what Ray's processes have here.

        Returns:
            The agent's exit code.
        """
        files.run.create()
        argv = [sys.executable, "-P", "-m", "orchestrator.onray.part", str(files.run.path), files.allocation]
        with files.log.open("ab") as log:
            agent = subprocess.Popen(
                [*argv, str(os.getpid())],
                env=environment_of(os.environ, with_ray=bool(grant.ray)) | dict(env) | {GRANT: grant.to_text()},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return agent.wait()


def environment_of(environment: Mapping[str, str], *, with_ray: bool) -> dict[str, str]:
    """What a part inherits of an actor's environment: nothing of Ray's, whose token is code execution on all nodes.

    Args:
        environment: of the actor.
        with_ray: the part uses the cluster's Ray, and gets what it takes to reach it.
    """
    kept = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} if with_ray else set()
    return {
        name: value for name, value in for_jobs(environment).items() if not name.startswith(_RAYS_OWN) or name in kept
    }
