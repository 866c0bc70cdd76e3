"""A Ray cluster as an engine, over HTTP: Ray itself is never imported here."""

from orchestrator.backends.ray.backend import RayBackend, capacity_or_types

__all__ = ["RayBackend", "capacity_or_types"]
