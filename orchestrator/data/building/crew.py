"""Processes that make the parts of a dataset side by side; one that dies is an error that names its part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from orchestrator.base.errors import DataError
from orchestrator.data.building.plan import Part
from orchestrator.data.building.work import Advance, Job, Setting, make_part
from orchestrator.data.building.worker import Failed, Message
from orchestrator.data.source import Sample

_CODE = "import sys; from orchestrator.data.building.worker import main; main(int(sys.argv[1]))"
_RESUME = "give the same command again: finished parts are kept"


def job_of(part: Part, samples: Sequence[Sample]) -> Job:
    """A part with the samples that it is made of."""
    return Job(part.split, part.number, [samples[place] for place in part.places.tolist()])


def make_here(setting: Setting, parts: Sequence[Part], samples: Sequence[Sample], advance: Advance) -> None:
    """Make all parts in this process, one after the other.

    Raises:
        DataError: a part cannot be made; those before it are finished.
    """
    for part in parts:
        make_part(setting, job_of(part, samples), advance)


class Crew:
    """Worker processes. A context manager: leaving it ends them at once, whatever they do.

    Args:
        setting: what all parts have in common.
        processes: how many.
    """

    def __init__(self, setting: Setting, processes: int) -> None:
        self._setting = setting
        self._processes = processes
        self._members: list[_Member] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for _ in range(self._processes):
                member = _Member()
                stack.callback(member.end)
                self._members.append(member)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def make(self, parts: Sequence[Part], samples: Sequence[Sample], advance: Advance) -> None:
        """Make all parts; which process makes which does not matter.

        Raises:
            DataError: a part cannot be made, or a process died.
        """
        waiting = iter(parts)
        busy: dict[Connection[Setting | Job, Message], _Member] = {}
        for member in self._members:
            member.greet(self._setting)
        for member in self._members:
            if member.start(waiting, samples):
                busy[member.connection] = member
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                member = busy[connection]
                message = member.receive()
                if isinstance(message, Failed):
                    raise DataError(message.message, hint=message.hint)
                advance(message.samples)
                if message.finished and not member.start(waiting, samples):
                    del busy[connection]


class _Member:
    """One process. It is in a process group of its own, so that Ctrl-C reaches only the builder."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=environment,
                process_group=0,
            )
        self._name = ""

    def greet(self, setting: Setting) -> None:
        """Send what comes before all jobs."""
        self._send(setting)

    def start(self, waiting: Iterator[Part], samples: Sequence[Sample]) -> bool:
        """Send the next part, if there is one."""
        part = next(waiting, None)
        if part is None:
            return False
        job = job_of(part, samples)
        self._name = job.shard
        self._send(job)
        return True

    def receive(self) -> Message:
        """What the process says."""
        try:
            message: Message = self.connection.recv()
            return message
        except (EOFError, ConnectionResetError):
            raise self._died() from None

    def end(self) -> None:
        """End it now; only temporary files are lost."""
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self.connection.close()

    def _send(self, what: Setting | Job) -> None:
        try:
            self.connection.send(what)
        except (BrokenPipeError, ConnectionResetError):
            raise self._died() from None

    def _died(self) -> DataError:
        status = self._process.wait()
        how = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with exit status {status}"
        why = " (out of memory?)" if status == -signal.SIGKILL else ""
        making = f"the process that made {self._name} " if self._name else "a process of the build "
        fewer = "; where memory is short, use fewer --processes" if status == -signal.SIGKILL else ""
        return DataError(making + how + why, hint=_RESUME + fewer)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
