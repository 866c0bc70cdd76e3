"""The processes of the cluster of one folder: found by a mark in their environment and by descent."""

from __future__ import annotations

from pathlib import Path

from common.process_tree import Process, running, we_are_under, with_descendants

# The keeper of a machine carries both, and so does all that Ray starts there.
MARK = "ORCHESTRATOR_DEV_RAY"
ROLE = "ORCHESTRATOR_DEV_RAY_ROLE"
KEEPER = "ORCHESTRATOR_DEV_RAY_KEEPER"
"""Carried by keepers alone."""


def of_cluster(folder: Path) -> set[int]:
    """Every process of the cluster: keepers, Ray, and all that jobs have started."""
    return with_descendants(lambda process: _belongs(process, folder))


def of_machine(folder: Path, name: str) -> set[int]:
    """What dies with the head or with a node."""
    return with_descendants(lambda process: _belongs(process, folder) and process.environment.get(ROLE) == name)


def keepers(folder: Path) -> dict[str, int]:
    """The machines that are switched on: pid of the keeper by name (head, n1, ...)."""
    return {
        process.environment[ROLE]: process.pid
        for process in running().values()
        if _belongs(process, folder) and KEEPER in process.environment
    }


def contains_us(folder: Path) -> bool:
    """Whether we run under a job of the cluster."""
    return we_are_under(lambda process: _belongs(process, folder))


def _belongs(process: Process, folder: Path) -> bool:
    return process.environment.get(MARK) == str(folder)
