"""The toy as a trainer of our search; what it is to do stands in the environment of the workload."""

from __future__ import annotations

import os

from orchestrator.search.trial import Surroundings, TrialEnd, TrialTask
from rayjobs.toy import Toy

VARIABLE = "BENCH_TOY"


def train(task: TrialTask, surroundings: Surroundings) -> TrialEnd:
    """All epochs, each of which is reported; the last one's metrics are returned, as of every trainer."""
    toy = Toy.of(os.environ[VARIABLE])
    last: dict[str, float] = {}

    def report(metrics: dict[str, float]) -> None:
        surroundings.progress(int(metrics["samples"]))
        if metrics["epoch"] < toy.epochs and not surroundings.stop():
            surroundings.report(metrics)
        last.update(metrics)

    toy.train(task.index, report)
    return TrialEnd("finished", last)


def evaluate(task: TrialTask, surroundings: Surroundings) -> TrialEnd:
    """The toy has no test split that anything could be learnt from."""
    return TrialEnd("finished", {"loss": 0.5, "error": 0.5})
