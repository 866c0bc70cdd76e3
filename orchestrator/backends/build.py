"""`backend_of`: the engine that a cluster profile names; the one place that knows which there are."""

from __future__ import annotations

from pathlib import Path

from orchestrator.backends.protocol import Backend
from orchestrator.spec.profile import ClusterProfile


def backend_of(profile: ClusterProfile, *, state: Path | None = None) -> Backend:
    """The engine of a cluster. Nothing is asked of it yet.

    Args:
        profile: the cluster.
        state: the server's state directory; default: the user's.

    Raises:
        UsageError: this installation has no such engine, or the profile's address is none.
    """
    if profile.backend == "local":
        from orchestrator.backends.local import LocalBackend  # each engine's own imports, only where it is used

        return LocalBackend(profile, state=state)
    if profile.backend == "ray":
        from orchestrator.backends.ray import RayBackend

        return RayBackend(profile, state=state)
    from orchestrator.backends.slurm import SlurmBackend

    return SlurmBackend(profile, state=state)
