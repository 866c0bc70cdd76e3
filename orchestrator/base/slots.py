"""Slots of this machine as locked files, so that two servers on one host never give the same slot away twice.

A lock belongs to an open file, not to a process: the backend takes it, the agent and its guard inherit it, and it is
free when one of them says so, or when the last process that holds the file has ended, however it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import BackendError, BackendUnavailable
from orchestrator.base.process import processes_with_open
from orchestrator.base.text import counted

SLOTS_VARIABLE = "ORCHESTRATOR_SLOTS_DIR"
_TRIES = 5


def default_folder() -> Path:
    """Where the slot locks of this machine lie: `$ORCHESTRATOR_SLOTS_DIR`, else the user's runtime or state directory.

    It does not depend on the state directory: servers with different ones share the machine.
    """
    chosen, runtime = os.environ.get(SLOTS_VARIABLE), os.environ.get("XDG_RUNTIME_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if runtime:
        return Path(runtime) / "orchestrator" / "slots"
    import platformdirs

    # a home directory may be shared between machines, whose slots are not
    return Path(platformdirs.user_state_dir("orchestrator")) / "slots" / platform.node()


@dataclass(frozen=True)
class Lease:
    """Locked slots.

    Attributes:
        slots: their numbers.
        handles: open files that hold the locks.
    """

    slots: tuple[int, ...] = ()
    handles: tuple[int, ...] = ()


@dataclass(frozen=True)
class SlotLocks:
    """The lock files of one kind of slot.

    Attributes:
        folder: where they lie.
        kind: `cpu` or `gpu`.
        names: of the slots; a GPU's is its device, which stays the same whatever else is visible.
    """

    folder: Path
    kind: str
    names: tuple[str, ...]

    @contextlib.contextmanager
    def hold(self, count: int) -> Iterator[Lease]:
        """Lock some free slots while the block runs; a child that inherits the handles keeps them.

        Raises:
            BackendUnavailable: not enough are free now.
        """
        lease = self.take(count)
        try:
            yield lease
        finally:
            for handle in lease.handles:
                os.close(handle)

    def take(self, count: int) -> Lease:
        """Lock some free slots until they are given back.

        Raises:
            BackendUnavailable: not enough are free now; none is taken.
        """
        self._prepare()
        taken: dict[int, int] = {}
        for attempt in range(_TRIES):  # somebody who only looks holds a lock for an instant
            for slot in range(len(self.names)):
                if len(taken) < count and slot not in taken and (handle := _lock(self._path(slot))) is not None:
                    taken[slot] = handle
            if len(taken) == count:
                return Lease(tuple(sorted(taken)), tuple(taken[slot] for slot in sorted(taken)))
            time.sleep(0.005 * attempt)
        for handle in taken.values():
            os.close(handle)
        raise BackendUnavailable(
            f"{counted(count, f'{self.kind} slot')} wanted, and only {len(taken)} of {len(self.names)} are free here",
            hint="another server on this machine may hold them; the launch is tried again",
        )

    def free(self) -> int:
        """How many slots nobody holds."""
        self._prepare()
        return sum(1 for slot in range(len(self.names)) if self._is_free(self._path(slot)))

    def openers(self) -> dict[int, int]:
        """Processes of this user that have lock files open, and how many: whoever holds a slot is among them."""
        paths = {os.path.realpath(self._path(slot)) for slot in range(len(self.names))}
        return processes_with_open(paths)

    def _path(self, slot: int) -> Path:
        return self.folder / f"slot-{self.kind}-{self.names[slot].replace('/', '_')}"

    def _is_free(self, path: Path) -> bool:
        handle = _lock(path, fcntl.LOCK_SH)
        if handle is None:
            return False
        os.close(handle)
        return True

    def _prepare(self) -> None:
        """Make the folder, and refuse one that somebody else could have laid out for us."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = self.folder.lstat()
        except OSError as error:
            raise BackendUnavailable(f"cannot use {self.folder} for the locks of slots: {error}") from error
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise BackendError(
                f"{self.folder} does not belong to this user",
                hint=f"set {SLOTS_VARIABLE} to a folder of your own",
            )


def give_back(handle: int) -> None:
    """Free a slot for everybody, whoever else still holds this open file, and close it here."""
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def _lock(path: Path, how: int = fcntl.LOCK_EX) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
