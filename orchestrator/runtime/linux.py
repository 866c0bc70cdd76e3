"""Two calls of the Linux kernel that Python does not wrap: who inherits orphans, and who dies with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Descendants whose parent dies become this process's children, so that no daemon escapes its run."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def dies_with_parent() -> Callable[[], None]:
    """What a child calls between fork and exec, so that the kernel kills it when its parent's thread ends.

    Call this in the parent; it may only be used by a process with a single thread.
    """
    return partial(die_with, os.getpid())


def die_with(parent: int) -> None:
    """Called by a child: the kernel kills it when its parent's thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


_LIBC = ctypes.CDLL(None, use_errno=True)
