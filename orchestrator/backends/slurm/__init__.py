"""Slurm: runs become its jobs, its own scheduler places them, and one watch looks for all."""

from orchestrator.backends.slurm.backend import SlurmBackend

__all__ = ["SlurmBackend"]
