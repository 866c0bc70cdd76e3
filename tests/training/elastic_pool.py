"""A pool of worker processes, and the coordinator of a scripted run: views as the script has them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from elastic_worker import Action, Assignment, work

from orchestrator.rundir.membership import Member, View
from orchestrator.training.config import TrainConfig

PATIENCE = 60.0


@dataclass
class Worker:
    """One process of the pool."""

    process: BaseProcess
    pipe: Connection


@dataclass
class Ended:
    """What came of a run.

    Attributes:
        results: by the worker's number; of those that were not killed.
        views: all of them.
        broken: numbers of workers that said so, with the view's epoch.
    """

    results: dict[int, Any] = field(default_factory=dict)
    views: list[View] = field(default_factory=list)
    broken: list[tuple[int, int]] = field(default_factory=list)

    @property
    def leader(self) -> dict[str, Any]:
        """Of the worker that led at the end."""
        last = self.results[self.views[-1].numbers[0]]
        assert isinstance(last, dict), last
        return last

    @property
    def states(self) -> dict[int, str]:
        """How each worker ended."""
        return {n: r["state"] if isinstance(r, dict) else r for n, r in sorted(self.results.items())}


class Pool:
    """Processes that are used again for one run after another; those that were killed are replaced."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["elastic_worker", "tiny_recipes"])
        self._idle: list[Worker] = []
        with pytest.MonkeyPatch.context() as patch:  # the server of Python 3.11 takes no sys.path along
            patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
            patch.setenv("OMP_NUM_THREADS", "1")
            forkserver.ensure_running()

    def take(self) -> Worker:
        """An idle process."""
        if self._idle:
            return self._idle.pop()
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours)

    def give_back(self, worker: Worker) -> None:
        """It may train something else."""
        self._idle.append(worker)

    def close(self) -> None:
        """End all processes."""
        for worker in self._idle:
            worker.pipe.send(None)
        for worker in self._idle:
            worker.process.join(10)
            worker.process.kill()
            worker.process.join()

    def run(
        self,
        task: Any,
        config: TrainConfig,
        world: int,
        script: Sequence[Action] = (),
        *,
        checkpoints: Path | None = None,
        audit: Path | None = None,
    ) -> Ended:
        """Train with so many workers, in a storm."""
        return _Run(self, Assignment(0, task, config, tuple(script), checkpoints, audit)).run(world)


class _Run:
    """One run: what the coordinator knows."""

    def __init__(self, pool: Pool, assignment: Assignment) -> None:
        self._pool, self._assignment = pool, assignment
        self._workers: dict[int, Worker] = {}
        self._ready: dict[int, Member] = {}
        self._wanted: int | None = None
        self._lost: list[int] = []
        self._next = 0
        self._ended = Ended()

    def run(self, world: int) -> Ended:
        self._want(world)
        deadline = time.monotonic() + PATIENCE
        try:
            while self._workers.keys() - self._ended.results.keys():
                assert time.monotonic() < deadline, f"the run hangs; so far {self._ended}"
                self._listen()
                self._publish()
        finally:
            self._release()
        return self._ended

    def _want(self, world: int) -> None:
        """Start what is missing; there is a new view when they are ready."""
        self._wanted = world
        for _ in range(world - len(self._present())):
            worker = self._pool.take()
            assignment = self._assignment
            worker.pipe.send(
                Assignment(
                    self._next,
                    assignment.task,
                    assignment.config,
                    assignment.script,
                    assignment.checkpoints,
                    assignment.audit,
                )
            )
            self._workers[self._next] = worker
            self._next += 1

    def _present(self) -> list[int]:
        """Workers of the newest view that are still there."""
        numbers = self._ended.views[-1].numbers if self._ended.views else tuple(self._workers)
        return [number for number in numbers if number in self._workers and number not in self._ended.results]

    def _listen(self) -> None:
        by_pipe = {worker.pipe: number for number, worker in self._workers.items()}
        for pipe in wait(list(by_pipe), PATIENCE):
            assert isinstance(pipe, Connection)
            number = by_pipe[pipe]
            try:
                kind, *data = pipe.recv()
            except (EOFError, ConnectionResetError):
                self._lose(number)
                continue
            match kind:
                case "ready":
                    self._ready[number] = data[0]
                case "broken":
                    self._ended.broken.append((number, data[0]))
                case "reached":
                    self._want(self._assignment.script[data[0] - 1].workers)
                case "ended":
                    self._ended.results[number] = data[0]

    def _lose(self, number: int) -> None:
        self._workers.pop(number).process.join()
        self._lost.append(number)
        action = self._assignment.script[self._ended.views[-1].epoch - 1]
        self._want(action.workers or len(self._present()))

    def _publish(self) -> None:
        """The next view, when all who belong to it are ready."""
        if self._wanted is None or not self._workers.keys() <= self._ready.keys():
            return
        before = self._present()
        new = [number for number in self._workers if number not in before and number not in self._ended.results]
        members = sorted([*before, *new])[: self._wanted]
        leaving = tuple(number for number in before if number not in members)
        cause = "lost" if self._lost else "resize" if self._ended.views else "start"
        view = View(
            len(self._ended.views) + 1,
            tuple(self._ready[number] for number in members),
            leaving,
            tuple(self._lost),
            cause,
        )
        self._ended.views.append(view)
        self._wanted, self._lost = None, []
        for number in (*members, *leaving):
            self._workers[number].pipe.send(view)

    def _release(self) -> None:
        for number, worker in self._workers.items():
            if number in self._ended.results:
                worker.pipe.send("over")
                self._pool.give_back(worker)
            else:
                worker.process.kill()
                worker.process.join()
