"""One process of the elastic pool: trains one cell after another, in the views that its pipe brings."""

from __future__ import annotations

import gc
import os
import signal
import threading
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch

from orchestrator.rundir.audit import AuditWriter
from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership.protocol import Phase
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.config import EngineContext, EpochReport, TrainConfig, TrainResult
from orchestrator.training.determinism import deterministic
from orchestrator.training.digest import parameters_digest
from orchestrator.training.engine import train
from orchestrator.training.layout import sharded

Task = Any
FORKED_WITH = (sharded,)
"""Imported by the parent of all workers: for seconds, which none of them has to spend again."""


@dataclass(frozen=True)
class Action:
    """What happens in the view whose epoch is its place in the script, counted from 1.

    Attributes:
        kind: `resize`: the leader waits until there is a newer view; `kill`, `stop`: who it hits.
        step: in which step.
        phase: of a kill.
        who: of a kill or a stop.
        workers: after a resize; after a kill 0 leaves as many as there are, else dead ones are replaced at once.
    """

    kind: Literal["resize", "kill", "stop"]
    step: int
    who: Literal["leader", "last"] = "last"
    phase: Phase = "collective"
    workers: int = 0


@dataclass(frozen=True)
class Assignment:
    """What a process of the pool is to train.

    Attributes:
        number: in the run.
        task: the recipe.
        config: of the training.
        script: of the run.
        checkpoints: folder; None keeps none.
        audit: folder; None writes none.
    """

    number: int
    task: Task
    config: TrainConfig
    script: tuple[Action, ...] = ()
    checkpoints: Path | None = None
    audit: Path | None = None


@dataclass
class PipeMembership:
    """The worker's end of the scripted membership."""

    assignment: Assignment
    pipe: Connection
    views: list[View] = field(default_factory=list)
    stops: bool = False
    _news: threading.Condition = field(default_factory=threading.Condition)
    _entered: View | None = None
    _asked: set[int] = field(default_factory=set)

    @property
    def number(self) -> int:
        return self.assignment.number

    def listen(self) -> None:
        """Take views until the pool says that the run is over."""
        while (message := self.pipe.recv()) != "over":
            with self._news:
                self.views.append(message)
                self._news.notify_all()

    def ready(self, port: int) -> None:
        self.pipe.send(("ready", Member(self.number, "127.0.0.1", port, os.getpid())))

    def next_view(self, after: int) -> View | None:
        with self._news:
            arrived = self._news.wait_for(lambda: self.newest_epoch() > after, 60)
        assert arrived, f"no view after {after} came"
        self._entered = self.views[-1]
        return self._entered

    def newest_epoch(self) -> int:
        return self.views[-1].epoch if self.views else 0

    def broken(self, epoch: int, reason: str) -> None:
        self.pipe.send(("broken", epoch, reason))

    def beat(self, step: int, phase: Phase) -> None:
        view = self._entered
        if view is None or view.epoch > len(self.assignment.script):
            return
        action = self.assignment.script[view.epoch - 1]
        if action.step != step or self.number not in view.numbers:
            return
        target = view.numbers[0 if action.who == "leader" or action.kind == "resize" else -1] == self.number
        if target and action.kind == "kill" and phase == action.phase:
            os.kill(os.getpid(), signal.SIGKILL)
        if target and action.kind == "stop":
            self.stops = True
        if target and action.kind == "resize" and phase == "compute" and view.epoch not in self._asked:
            self._asked.add(view.epoch)
            self.pipe.send(("reached", view.epoch))
            with self._news:
                assert self._news.wait_for(lambda: self.newest_epoch() > view.epoch, 60), "no other view came"


def work(pipe: Connection) -> None:
    """Train what comes until there is nothing more."""
    torch.set_num_threads(1)
    while (assignment := pipe.recv()) is not None:
        membership = PipeMembership(assignment, pipe)
        listener = threading.Thread(target=membership.listen, daemon=True)
        listener.start()
        try:
            ended: object = _train(assignment, membership)
        except Exception as error:  # whatever it is, the test shall see it
            ended = f"{type(error).__name__}: {error}"
        pipe.send(("ended", ended))
        listener.join()
        gc.collect()
    os._exit(0)


def _train(assignment: Assignment, membership: PipeMembership) -> dict[str, Any]:
    said: list[tuple[str, Any]] = []
    reports: list[EpochReport] = []
    audit = assignment.audit
    context = EngineContext(
        membership=membership,
        device=torch.device("cpu"),
        checkpoints=None if assignment.checkpoints is None else CheckpointStore(assignment.checkpoints),
        stop=lambda: membership.stops,
        report=lambda report: bool(reports.append(report)) or True,
        note=lambda text: said.append(("note", text)),
        tell=lambda kind, /, **data: said.append((kind, data)),
        checkpointed=lambda where, samples, asked: said.append(("checkpoint", samples)),
        audit=None if audit is None else AuditWriter(audit, f"worker-{assignment.number}"),
    )
    with deterministic(1):
        result = train(assignment.task, assignment.config, context)
    return _summary(result, said, assignment.config)


def _summary(result: TrainResult, said: list[tuple[str, Any]], config: TrainConfig) -> dict[str, Any]:
    whole = result.leads or config.parallel == "ddp"
    return {
        "state": result.state,
        "leads": result.leads,
        "samples": result.samples,
        "digest": parameters_digest(result.model) if whole and result.state == "finished" else None,
        "history": [replace(report, samples_per_second=None) for report in result.history],
        "final": result.final,
        "exact_until": result.exact_until,
        "said": said,
        "pid": os.getpid(),
    }
