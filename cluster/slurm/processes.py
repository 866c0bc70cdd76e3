"""The processes of one cluster: found by a mark in their environment and by descent."""

from __future__ import annotations

from common.process_tree import Process, running, we_are_under, with_descendants
from layout import Cluster

# A daemon carries both; Slurm hands them on to slurmstepd, but not to what a job starts.
MARK = "ORCHESTRATOR_DEV_SLURM"
ROLE = "ORCHESTRATOR_DEV_SLURM_ROLE"


def of_cluster(cluster: Cluster) -> set[int]:
    """Every process of the cluster: daemons, steps, and all that jobs have started."""
    return with_descendants(lambda process: _belongs(process, cluster))


def of_node(cluster: Cluster, node: str) -> set[int]:
    """What dies with a machine: its slurmd, its steps and everything under them."""
    return with_descendants(lambda process: _belongs(process, cluster) and _node(process) == node)


def daemons(cluster: Cluster) -> dict[str, int]:
    """The daemons that run: pid by role (munged, mariadbd, slurmdbd, slurmctld, slurmd-n1, ...)."""
    return {
        process.environment[ROLE]: process.pid
        for process in running().values()
        if process.environment.get(MARK) == str(cluster.folder)
        and process.environment.get(ROLE, "").partition("-")[0] == process.name
    }


def contains_us(cluster: Cluster) -> bool:
    """Whether we run under a job of the cluster."""
    return we_are_under(lambda process: _belongs(process, cluster))


def _belongs(process: Process, cluster: Cluster) -> bool:
    variables = process.environment
    of_a_job = "SLURMD_NODENAME" in variables and variables.get("SLURM_CONF") == str(cluster.slurm_conf)
    return of_a_job or variables.get(MARK) == str(cluster.folder)


def _node(process: Process) -> str | None:
    role = process.environment.get(ROLE, "")
    return role.removeprefix("slurmd-") if role.startswith("slurmd-") else process.environment.get("SLURMD_NODENAME")
