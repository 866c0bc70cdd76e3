"""A machine of a development cluster, as a pod is one: `keeper HEAD COMMAND...` keeps Ray running.

It waits until the head, HOST:PORT, listens ("-": it is the head). All that is started here stays below this process.
When a daemon ends, so does everything else here, and Ray is started again; but not where it never was, nor where it was
drained. SIGHUP: it is started again at once. SIGTERM: all of it ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType

from common.process_tree import end, running, with_descendants

_BECOME_SUBREAPER = 36
_REST = 1.0
_STARTS = 3
"""Attempts, at first; Ray itself gives each one 30 s, which a busy machine may need to start Ray's programs."""
_LOOK = 0.2
_DRAINED = ("raylet", 0)
_MARK = "ORCHESTRATOR_DEV_RAY_KEEPER"


class Keeper:
    """Starts Ray, and again when it ends."""

    def __init__(self, head: str, command: list[str]) -> None:
        self._head = head
        self._command = command
        self._environment = {name: value for name, value in os.environ.items() if name != _MARK}
        self._again = True
        self._watching = False

    def run(self) -> int:
        """Until Ray is not to be started again; the exit code."""
        ctypes.CDLL(None, use_errno=True).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, self._asked)
        attempts, code = 1, self._start()
        while code and attempts < _STARTS:
            self._clear()
            time.sleep(_REST)
            attempts, code = attempts + 1, self._start()
        started = code == 0
        while started:
            if code == 0:
                self._watch()
            self._clear()
            if not self._again:
                break
            time.sleep(_REST)
            code = self._start()
        self._clear()
        return 0 if started else code

    def _start(self) -> int:
        while self._head != "-" and not self._listens():
            time.sleep(_LOOK)
        self._say("starting Ray")
        return subprocess.run(self._command, env=self._environment, stdin=subprocess.DEVNULL).returncode

    def _listens(self) -> bool:
        host, _, port = self._head.rpartition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return True
        return False

    def _watch(self) -> None:
        """Return when a daemon has ended; what else ends below us is none of our business."""
        ours = os.getpid()
        daemons = {process.pid: process.name for process in running().values() if process.parent == ours}
        self._watching = True
        while "raylet" in daemons.values():
            pid, status = os.wait()
            if pid in daemons:
                code = os.waitstatus_to_exitcode(status)
                self._say(f"{daemons[pid]} ended with {code}")
                self._again = (daemons[pid], code) != _DRAINED
                break
        self._watching = False

    def _clear(self) -> None:
        ours = os.getpid()
        end(lambda: with_descendants(lambda process: process.parent == ours))

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self._clear()
            raise SystemExit(0)
        if self._watching:
            self._clear()

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stdout.flush()
