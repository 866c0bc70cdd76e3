"""Which class of failure an error belongs to: each class has a budget of retries of its own."""

from __future__ import annotations

import errno
import sys
import traceback
from contextlib import suppress

from orchestrator.base.errors import (
    BackendUnavailable,
    Conflict,
    DataError,
    Fenced,
    NotFound,
    OrchestratorError,
    RemoteUnavailable,
    ShardCorrupt,
    TimedOut,
    UsageError,
)


def failure_class(error: BaseException) -> str:
    """The class, by the names of `lifecycle.failures`."""
    if isinstance(error, Fenced | RemoteUnavailable | BackendUnavailable | TimedOut):
        return "infrastructure"
    if isinstance(error, ShardCorrupt) and error.lasting:
        return "permanent"
    if isinstance(error, DataError | NotFound):
        return "data"
    if isinstance(error, UsageError | Conflict):
        return "permanent"
    if isinstance(error, MemoryError):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EDQUOT}:
        return "infrastructure"
    return _class_in_training(error) or "application"


def _class_in_training(error: BaseException) -> str | None:
    """The class of what torch or the engine raised; a process that has imported neither has met none of it."""
    if "torch" not in sys.modules:
        return None
    import torch

    from orchestrator.training.checkpoint import GivenUp
    from orchestrator.training.group import lost_a_peer

    if isinstance(error, torch.OutOfMemoryError):
        return "out_of_memory"
    return "infrastructure" if isinstance(error, GivenUp) or lost_a_peer(error) else None


def report(error: BaseException) -> None:
    """Into the log: people's errors in their own words, all others with the way that led to them."""
    with suppress(OSError):  # a full disk; the marker is still owed
        if isinstance(error, OrchestratorError):
            sys.stderr.write(f"error: {error}\n")
        else:
            traceback.print_exception(error)


def describe(error: BaseException) -> str:
    """What happened, in one paragraph: people's errors in their own words, others by their type."""
    if isinstance(error, OrchestratorError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return f"{type(error).__name__}: {error}"
