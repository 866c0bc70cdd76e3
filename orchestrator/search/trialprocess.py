"""A process that runs trials for a worker of an array, one after the other; a trial that kills it ends no more than it.

Worker and process talk over a socket, one JSON object a line: tasks there, reports back.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TextIO

from orchestrator.base.text import one_line
from orchestrator.runtime.linux import die_with
from orchestrator.search.trial import TrialFailed, TrialTask, execute

_END_SECONDS = 2.0
Hear = Callable[[Mapping[str, Any]], None]


class TrialProcess:
    """The process, as its worker sees it; started when there is something to do."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._talk: socket.socket | None = None
        self._heard = b""

    def run(self, task: TrialTask, hear: Hear, idle: Callable[[], None], tick: float = 0.2) -> None:
        """Run a trial to its end.

        Args:
            task: which one.
            hear: told of its reports, the last of which has an `end`.
            idle: called between two looks; where it raises, the process is killed.
            tick: seconds between two looks.

        Raises:
            TrialFailed: it failed, or its process died.
        """
        try:
            self._say(task)
            while True:
                for report in self._listen(tick):
                    if "failed" in report:
                        raise TrialFailed(report["failed"])
                    hear(report)
                    if "end" in report:
                        return
                idle()
        except TrialFailed:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        process, talk, self._process, self._talk, self._heard = self._process, self._talk, None, None, b""
        if talk is not None:
            talk.close()
        if process is not None:
            process.kill()
            process.wait()

    def _say(self, task: TrialTask) -> None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()
        assert self._talk is not None
        with suppress(OSError):  # it has just died: noticed at once
            self._talk.sendall(json.dumps(asdict(task)).encode() + b"\n")

    def _start(self) -> None:
        self._talk, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def _listen(self, seconds: float) -> list[dict[str, Any]]:
        assert self._talk is not None
        if not select.select([self._talk], [], [], seconds)[0]:
            return []
        try:
            data = self._talk.recv(65536)
        except OSError:
            data = b""
        if not data:
            raise TrialFailed(self._last_words())
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _last_words(self) -> str:
        """How the process ended."""
        assert self._process is not None
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.close()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"infrastructure: its process {how}"


def main(arguments: list[str]) -> int:
    """Run the trials that are asked for, until nobody asks any more."""
    handle, parent = map(int, arguments)
    die_with(parent)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, _leave_it_to_the_worker)
    with socket.socket(fileno=handle) as talk, talk.makefile("r") as lines, talk.makefile("w") as out:
        for line in lines:
            _run(TrialTask(**json.loads(line)), out)
    return 0


def _run(task: TrialTask, out: TextIO) -> None:
    def hear(report: Mapping[str, Any]) -> None:
        out.write(json.dumps(report, default=float) + "\n")
        out.flush()

    try:
        execute(task, hear)
    except TrialFailed as error:
        hear({"failed": one_line(str(error), 600)})


def _leave_it_to_the_worker(number: int, frame: object) -> None:
    """A signal to the whole group: the worker hears it, too, and asks for a checkpoint."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
