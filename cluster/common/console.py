"""What the command lines of all development clusters have in common."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

OK, FAILED, MISSING = 0, 1, 3
_TAIL = 20


class ClusterError(Exception):
    """Something does not do what it should; `log` tells more."""

    def __init__(self, what: str, log: Path | None = None) -> None:
        super().__init__(what)
        self.log = log


def note(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")


def run(command: Callable[[], int]) -> int:
    """Run one command; its exit code. What ends it by a signal is an interrupt, and what goes wrong is said."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return command()
    except ClusterError as error:
        note(f"dev-cluster: {error}")
        return FAILED
    except KeyboardInterrupt:
        note("dev-cluster: interrupted")
        return 128 + signal.SIGINT


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def make_folder(folder: Path) -> None:
    """Make the folder of a cluster.

    Raises:
        ClusterError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterError(f"cannot make {folder}: {error.strerror}; choose another --at") from None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One command at a time changes a cluster; the lock goes with the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ClusterError(f"cannot open {folder}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not (folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat())):
            raise ClusterError(f"{folder} was taken down meanwhile")
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Nothing but SIGKILL ends this process from here on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    yield


@contextlib.contextmanager
def log_of_failure() -> Iterator[None]:
    """Where something goes wrong, show the end of the log that tells of it."""
    try:
        yield
    except ClusterError as error:
        if error.log is not None and error.log.exists():
            lines = error.log.read_text(errors="replace").splitlines()[-_TAIL:]
            note("\n".join([f"the end of {error.log}:", *(f"  {line}" for line in lines)]))
        raise


def take_down_after(folder: Path, keeper: int) -> None:
    """Leave a process behind that takes a cluster down when another one ends."""
    command = (sys.executable, "-B", sys.argv[0], "down", "--at", str(folder), "--after", str(keeper))
    null = subprocess.DEVNULL
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)


def await_end(pid: int, record: Path) -> None:
    """Wait until a process ends, or the cluster of this record is taken down by others."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    while record.exists() and not select.select([descriptor], [], [], 1.0)[0]:
        continue
    os.close(descriptor)
