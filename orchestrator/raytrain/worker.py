"""One worker of Ray Train: the same training of the recipe as a worker of our own runs, in the place that Ray gave it.

Ray Train calls it in a thread of a process of its own. The process group is ours: its sums have a fixed order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from orchestrator.base.errors import Fenced
from orchestrator.base.text import one_line
from orchestrator.onray.cluster import be_as_the_driver
from orchestrator.raytrain.drains import Drains
from orchestrator.raytrain.place import Attempt, FromRankZero, HangWatch, RayTrainPlace
from orchestrator.raytrain.task import STOP_FILE, WorkerTask, meeting_folder, tell_of_failure
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.entry import workload_of
from orchestrator.recipes.failure import describe, failure_class, report
from orchestrator.recipes.speaker import Speaker
from orchestrator.recipes.work import train_as_worker
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.markers import rank_writer
from orchestrator.tracking.spool import open_tracker
from orchestrator.training.group import HINT, GroupBroken, lost_a_peer

_LOOK_SECONDS = 0.5


def train_worker(config: dict[str, Any]) -> dict[str, Any]:
    """What Ray Train calls on each worker; how it ended.

    Raises:
        Exception: what a new start may mend, as often as `elastic.replacements` says.
    """
    import ray
    from ray import train

    task, about = WorkerTask(**config), train.get_context()
    be_as_the_driver()
    with suppress(OSError):
        os.chdir(task.workdir)
    rank, workers = about.get_world_rank(), about.get_world_size()
    attempt = Attempt.join(meeting_folder(task.directory), rank, workers, _from_rank_zero)
    drains = Drains(_preempted, _from_rank_zero)
    host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return asdict(work(task, attempt, host, drains, _from_rank_zero))


def work(task: WorkerTask, attempt: Attempt, host: str, drains: Drains, from_rank_zero: FromRankZero) -> Ending:
    """Train in this place, and leave the marker that every worker owes.

    Args:
        task: what to do.
        attempt: the workers that started together.
        host: where the others reach this one.
        drains: whether Ray is about to take a node away.
        from_rank_zero: Ray Train's broadcast.

    Raises:
        Exception: another worker was lost, or it failed for what a new start may mend; Ray Train makes one.
    """
    place = RayTrainPlace(attempt, host, from_rank_zero)
    context = _context(task, place, attempt, host)
    _tell_of_change(context, attempt)
    try:
        with HangWatch(task.hang_after) as watch:
            place.beaten = watch.beat
            ending = _train(context, attempt, drains)
    except Exception as error:
        report(error)
        if (word := _starts_anew(error)) is not None:
            context.finish("left", f"{word}: all workers start anew")
            raise
        ending = Ending("failed", describe(error), failure_class(error))
        tell_of_failure(task.directory, place.number, ending)
    context.finish(ending.outcome, ending.message, ending.failure_class)
    return ending


def _starts_anew(error: Exception) -> str | None:
    """Why all workers start anew; None where that would mend nothing: a run that a newer one has replaced is over."""
    if lost_a_peer(error):
        return "another worker was lost"
    infrastructure = failure_class(error) == "infrastructure" and not isinstance(error, Fenced)
    return describe(error) if infrastructure else None


def _train(context: RunContext, attempt: Attempt, drains: Drains) -> Ending:
    workload = workload_of(context)
    tracker = open_tracker(context.job, context.writer, context.token, workload.tracking)
    speaker = Speaker(tracker, speaks=attempt.rank == 0)
    told = meeting_folder(context.run) / STOP_FILE
    asked = _Seldom(told.exists)
    again = attempt.number > 1
    ending = train_as_worker(context, workload, speaker, stop=lambda: drains() | asked(), again=again)
    if ending.outcome == "succeeded":
        speaker.end_run(context.job.path.name, "finished")
    with suppress(Fenced):  # the newer run speaks for the job now
        speaker.flush()
    if ending.outcome == "stopped" and drains.told and not asked() and context.should_stop() is None:
        attempt.leave(meeting_folder(context.run))
        return Ending("left", "a node is to be taken away: all workers left with a checkpoint")
    return ending


def _context(task: WorkerTask, place: RayTrainPlace, attempt: Attempt, host: str) -> RunContext:
    run = task.directory
    return RunContext(
        number=place.number,
        slots=attempt.workers,
        run=run,
        job=run.job,
        token=task.token,
        events=DurableEvents(run, rank_writer(place.number), task.token),
        host=host,
        membership=place,
    )


def _tell_of_change(context: RunContext, attempt: Attempt) -> None:
    """Why there are new workers; the agent has told of the first ones."""
    if attempt.rank == 0 and attempt.number > 1:
        cause = "taken" if attempt.drained else "joined" if attempt.workers > attempt.before else "lost"
        context.events.note("resized", world_size=attempt.workers, epoch=attempt.number, cause=cause)


def _from_rank_zero(value: Any) -> Any:
    from ray.train.collective import broadcast_from_rank_zero

    return _with_others(lambda: broadcast_from_rank_zero(value))


def _preempted() -> bool:
    from ray import train

    return _with_others(train.get_preemption_info) is not None


def _with_others(call: Callable[[], Any]) -> Any:
    """What Ray Train does by all workers together; Ray's own errors mean that some of them are gone."""
    from ray.exceptions import RayError

    try:
        return call()
    except RayError as error:
        raise GroupBroken(f"a worker was lost: {one_line(str(error), 200)}", hint=HINT) from error


class _Seldom:
    """A question that is asked at most twice a second, and never again after a yes."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask, self._at, self._yes = ask, float("-inf"), False

    def __call__(self) -> bool:
        if not self._yes and time.monotonic() - self._at >= _LOOK_SECONDS:
            self._at, self._yes = time.monotonic(), self._ask()
        return self._yes
