"""This machine as an engine: agents as processes, slots as locked files."""

from orchestrator.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]
