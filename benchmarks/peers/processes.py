"""Contenders in processes of their own, forked from a server that has imported what they need.

So no library sees another one's threads, environment or signal handlers, one that crashes is reported, and a fresh
process, which a cold round needs, costs no imports.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 600.0
"""Seconds after which a contender that does not answer is given up."""

_LEISURE = 5.0
_BENCHMARKS = str(Path(__file__).parent.parent)


class Failed(Exception):
    """A contender could not do what it was asked for; the message is the reason."""


class Contestants:
    """The processes of one contender, one for each of `arguments`, opened by the function `target` (module:name)."""

    def __init__(self, target: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        context = multiprocessing.get_context("forkserver")
        self._members: list[tuple[Any, Connection]] = []
        for some in arguments:
            ours, theirs = multiprocessing.Pipe()
            process = context.Process(target=_serve, args=(theirs, target, some))
            process.start()
            theirs.close()
            self._members.append((process, ours))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop(0.0 if kind is not None else _LEISURE)

    def ask(self, message: str | int) -> tuple[float, int]:
        """Have all of them open, or deliver the epoch of this number; wall-clock seconds and samples in all."""
        started = time.perf_counter()
        try:
            for _, pipe in self._members:
                pipe.send(message)
            samples = sum(self._answer(process, pipe) for process, pipe in self._members)
        except OSError:
            raise Failed("its process is gone") from None
        return time.perf_counter() - started, samples

    def dismiss(self) -> None:
        """Tell the processes to end; do not wait for it."""
        for _, pipe in self._members:
            pipe.close()

    def stop(self, leisure: float) -> None:
        """End the processes; those that have not ended themselves after `leisure` seconds are killed."""
        self.dismiss()
        for process, _ in self._members:
            process.join(leisure)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its loader processes too, which not every library ends
            process.join()
        self._members = []

    def _answer(self, process: Any, pipe: Connection) -> int:
        if not pipe.poll(PATIENCE):
            raise Failed(f"no answer in {PATIENCE:g} s")
        try:
            failure, samples = pipe.recv()
        except EOFError:
            process.join(10)
            raise Failed(f"its process ended with {process.exitcode}") from None
        if failure:
            raise Failed(failure)
        return int(samples)


def begin(modules: Sequence[str]) -> None:
    """Start the server that has these modules; a benchmark's processes compute with one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONWARNINGS"] = "ignore"  # the resource tracker's, of what processes that were ended had
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_BENCHMARKS, os.environ.get("PYTHONPATH", ""))))
    os.environ["PEERS_PRELOAD"] = ",".join(modules)
    multiprocessing.set_forkserver_preload(["peers.preload"])


def call(target: str, *arguments: Any) -> float:
    """Run a function once in a process of its own; the seconds that it took.

    Raises:
        Failed: it did not succeed.
    """
    with Contestants("peers.processes:once", [(target, arguments)]) as one:
        one.ask("open")
        return one.ask(0)[0]


def once(target: str, arguments: tuple[Any, ...]) -> Any:
    """A function as an opened contender: the epoch is its call."""
    return lambda _: (resolve(target)(*arguments), 0)[1]


def resolve(target: str) -> Any:
    """The object named by `module:name`."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _serve(pipe: Connection, target: str, arguments: tuple[Any, ...]) -> None:
    """Answer until the other end is closed; nothing of it reaches the terminal."""
    os.setsid()  # an interrupt at the terminal is not for it; and it can be ended with all that it has started
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    multiprocessing.set_start_method("fork", force=True)  # Linux's own default: what loaders are written for
    epoch: Any = None
    try:
        while True:
            message = pipe.recv()
            try:
                if message == "open":
                    epoch = resolve(target)(*arguments)
                pipe.send(("", 0 if message == "open" else epoch(message)))
            except Exception as error:
                pipe.send((_reason(error), 0))
    except (EOFError, OSError):
        epoch = None
        atexit._run_exitfuncs()
        os._exit(0)  # some libraries leave threads that would be waited for


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1][:160]}"
