"""Processes of a race: started in sessions of their own, and ended with everything below them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def start(
    argv: Sequence[str], log: Path, environment: Mapping[str, str], *, talk: bool = False
) -> subprocess.Popen[bytes]:
    """Start a program; its output goes to `log`, its input is a pipe if `talk` asks for it."""
    with log.open("ab") as file:
        return subprocess.Popen(
            argv,
            env=os.environ | dict(environment),
            stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL what is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_tree(pid: int) -> None:
    """A process and everything below it, at once: a lost node."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)  # it starts nothing more while we look
        kill([pid, *descendants(pid)])


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """A process that we started and everything below it."""
    if process.poll() is None:
        kill_tree(process.pid)
        process.wait()
