"""Programs that end with this process, whatever ends it: what they do after that would be done twice."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

_LATE = "[ $PPID = $0 ] || exit 1; "
"""A parent that had died before the signal was asked for sends none."""
_BY_PYTHON = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\n"  # PR_SET_PDEATHSIG, SIGKILL
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def bound(argv: list[str]) -> list[str]:
    """A command that becomes this one, and is killed when the thread that starts it ends.

    Between fork and exec this cannot be said in a process of many threads. `setpriv` of util-linux 2.33 says it within
    a millisecond or two; where it is missing, a Python does, which costs more than sbatch itself.
    """
    parent = str(os.getpid())
    if setpriv := _setpriv():
        return [setpriv, "--pdeathsig", "KILL", "/bin/sh", "-c", _LATE + 'exec "$@"', parent, *argv]
    return [sys.executable, "-I", "-S", "-c", _BY_PYTHON, parent, *argv]


@functools.cache
def _setpriv() -> str | None:
    """Where it is; None where it is missing, or too old."""
    path = shutil.which("setpriv")
    try:
        good = path and subprocess.run([path, "--pdeathsig", "KILL", "true"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if good and good.returncode == 0 else None
