"""Programs that run now: each is bounded in time and in what it says, and none outlives its owner's `close`."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from orchestrator.base.errors import BackendUnavailable

MOST_OUTPUT = 64 * 2**20
"""Bytes of one answer; 100,000 jobs are about 20 MiB."""


class Programs:
    """Runs programs, each in a process group of its own. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = threading.Event()

    def run(
        self, program: str, argv: Sequence[str], environment: Mapping[str, str], patience: float, stdin: int
    ) -> tuple[int, bytes, bytes]:
        """Run one to its end; it and all it started are ended where it is too slow or too loud.

        Args:
            program: what people call it.
            argv: its command.
            environment: in which it runs.
            patience: seconds that it may take.
            stdin: an open file that it reads.

        Returns:
            Exit status, output and complaints.

        Raises:
            BackendUnavailable: it cannot be started, or was ended.
        """
        with self._started(program, argv, environment, stdin) as process, process:
            try:
                out, err = _collected(process, time.monotonic() + patience)
                code = process.wait()
            except _TooSlow:
                raise BackendUnavailable(
                    f"{program} did not answer within {patience:g} s",
                    hint="see whether slurmctld is overloaded: sdiag, scontrol ping",
                ) from None
            except _TooLoud:
                raise BackendUnavailable(
                    f"{program} said more than {MOST_OUTPUT >> 20} MiB",
                    hint=f"run it by hand on the server's machine and see what it says: {program}",
                ) from None
            finally:
                _end(process)
        if self._closed.is_set() and code == -signal.SIGKILL:
            raise _closed(program)
        return code, out, err

    def close(self) -> None:
        """End those that run, with all that they started; from here on none is started."""
        with self._lock:
            self._closed.set()
            for process in self._running:
                _end(process)

    @contextmanager
    def _started(
        self, program: str, argv: Sequence[str], environment: Mapping[str, str], stdin: int
    ) -> Iterator[subprocess.Popen[bytes]]:
        if self._closed.is_set():
            raise _closed(program)
        process = _start(argv, environment, stdin)
        with self._lock:
            self._running.add(process)
            if self._closed.is_set():  # since it was looked at
                _end(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)


def _closed(program: str) -> BackendUnavailable:
    return BackendUnavailable(f"{program} was ended: Slurm is no longer looked at from here", hint="ask again")


def _start(argv: Sequence[str], environment: Mapping[str, str], stdin: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise BackendUnavailable(
            f"{argv[0]} cannot be started: {error.strerror}", hint="see to the folder that slurm.commands names"
        ) from error


class _TooSlow(Exception):
    pass


class _TooLoud(Exception):
    pass


def _collected(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """All that it writes until both of its outputs and itself have ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in said:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise _TooSlow
            for key, _ in ready:
                if not (chunk := os.read(key.fd, 1 << 18)):
                    selector.unregister(key.fd)
                said[key.fd] += chunk
            if sum(map(len, said.values())) > MOST_OUTPUT:
                raise _TooLoud
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _TooSlow from None
    out, err = said.values()
    return bytes(out), bytes(err)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # so its number is still its own, and that of its group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
