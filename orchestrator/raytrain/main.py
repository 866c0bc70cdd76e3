"""Entry of the driver of a training by Ray Train: `python -m orchestrator.raytrain.main`, rank 0 of an ordinary run."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from typing import Any

from orchestrator.base.text import counted
from orchestrator.raytrain.cluster import Room, ray_for
from orchestrator.raytrain.driver import drive
from orchestrator.raytrain.task import WorkerTask
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.entry import run_rank
from orchestrator.recipes.main import end
from orchestrator.recipes.speaker import Speaker
from orchestrator.runtime.context import RunContext
from orchestrator.spec.regnet import RegNetWorkload


def main() -> int:
    """Train as the environment says; the exit code is 0 where the run succeeded or was stopped."""
    return run_rank(_train)


def _train(context: RunContext, workload: RegNetWorkload, speaker: Speaker) -> Ending:
    speaker.let(False)  # its workers speak; only a failure is said here, when none of them is left
    with ray_for(context, workload, partial(_give_up, context)) as room:
        if room is None:
            return Ending("stopped", "stopped before its workers were started")
        return drive(context.run, partial(_fit, context, workload, room), context.should_stop)


def _fit(context: RunContext, workload: RegNetWorkload, room: Room) -> dict[str, Any]:
    if (word := _lack(room)) is not None:
        return asdict(word)
    from orchestrator.raytrain.trainer import fit

    task = WorkerTask(str(context.run.path), context.token, os.getcwd(), workload.elastic.hang_after)
    return fit(task, room, workload.elastic.replacements)


def _lack(room: Room) -> Ending | None:
    """What ends the run where the places that it has left do not do, however often Ray Train would try."""
    if room.places is None or (there := len(room.places.there())) >= room.least:
        return None
    needs = f"{there} of the {counted(room.least, 'place')} that it needs can be had"
    return Ending("failed", f"{needs}: Ray has taken nodes of the run away, or is about to", "preempted")


def _give_up(context: RunContext, daemon: str) -> None:
    """End at once: the job's next run goes on from the newest checkpoint."""
    context.finish("failed", f"the training's Ray was lost: its {daemon} died", "infrastructure")
    os._exit(1)


if __name__ == "__main__":
    end(main())
