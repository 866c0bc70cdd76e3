"""A job, its runs, its progress and its history as text."""

from __future__ import annotations

import time
from collections.abc import Sequence

from orchestrator.base.text import counted, one_line
from orchestrator.cli.human import ago, clock, duration, figure, point
from orchestrator.cli.output import state, table
from orchestrator.spec.messages import EventView, Goodput, JobView, Progress, RunView

_KINDS_OF_VIEWS = {"lost": "worker_lost", "joined": "worker_joined", "left": "workers_left", "taken": "workers_left"}
"""What changed the workers of a run, where that was no resize."""
_WAITING = frozenset({"queued", "held", "recovering"})
_ON_WORKERS = frozenset({"running", "resizing"})


def job_table(jobs: Sequence[JobView]) -> str:
    """One line for each job."""
    heads = ("job", "name", "kind", "state", "workers", "age", "progress", "reason")
    rows = [(j.id, j.name, j.kind, state(j.state), workers_text(j), _age(j), job_progress(j), _reason(j)) for j in jobs]
    return table(heads, rows)


def job_details(job: JobView, checkpoint: EventView | None = None) -> str:
    """Everything about one job, and its newest checkpoint."""
    lines = [
        f"{job.id}  {one_line(job.name)}  {state(job.state)}",
        *_field("reason", job.reason),
        *_field("phase", job.phase),
        *_field("starts", _expected(job)),
        *_field("kind", f"{job.kind}, {counted(job.workers, 'worker')}, on {job.profile}, priority {job.priority}"),
        *_field("owner", f"{job.owner} (team {job.team})"),
        *_field("queued", _moment(job.created_at)),
        *_field("started", _moment(job.started_at)),
        *_field("finished", _moment(job.finished_at)),
        *_field("took", _took(job)),
        *_field("width", _pinned(job)),
        *_field("preempted", counted(job.preemptions, "time") if job.preemptions else ""),
        *_field("progress", job_progress(job, left=job.left is None)),
        *_field("left", _left(job)),
        *_field("estimate", _estimate(job)),
        *_field("goodput", goodput_text(job.goodput)),
        *_field("checkpoint", _checkpoint(checkpoint)),
        *_field("failures", ", ".join(f"{kind} {count}" for kind, count in job.failures.items())),
        *_field("directory", job.directory),
    ]
    if job.runs:
        lines += ["", _run_table(job.runs)]
    return "\n".join(lines)


def event_line(event: EventView) -> str:
    """One entry of a history."""
    run = f" [{event.run}]" if event.run else ""
    kind = _KINDS_OF_VIEWS.get(str(event.data.get("cause")), event.kind) if event.kind == "resized" else event.kind
    return f"{clock(event.time)}  {kind:<13} {one_line(event.message, 500)}{run}"


def progress_text(progress: Progress | None, *, over: bool = False) -> str:
    """`7/24 trials, best val error 0.021, 5,313 samples/s, 1m 20s left`; without speed where it is over for now."""
    if progress is None:
        return ""
    parts = []
    if progress.total:
        parts.append(f"{figure(progress.done)}/{figure(progress.total)} {progress.unit}".strip())
    elif progress.done:
        parts.append(f"{figure(progress.done)} {progress.unit}".strip())
    if progress.best is not None:
        parts.append(f"best {progress.best_label} {figure(progress.best)}".replace("  ", " "))
    if progress.samples_per_second and not over:
        parts.append(f"{figure(round(progress.samples_per_second))} samples/s")
    if progress.eta_seconds is not None and not over:
        parts.append(f"{duration(progress.eta_seconds)} left")
    if progress.message:
        parts.append(progress.message)
    return one_line(", ".join(parts))


def job_progress(job: JobView, *, left: bool = True) -> str:
    """How far a job is; how fast it goes and what is left, as far as all that is known tells, only while it runs.

    Args:
        job: its view.
        left: also say what is left.
    """
    if job.progress is None:
        return ""
    seconds = job.progress.eta_seconds if job.left is None else job.left.seconds
    told = job.progress.model_copy(update={"eta_seconds": seconds if left else None})
    return progress_text(told, over=job.state not in _ON_WORKERS)


def goodput_text(goodput: Goodput | None) -> str:
    """`94% useful: 1h 02m useful, 30s redone, 3m 10s idle`."""
    if goodput is None or not goodput.seconds:
        return ""
    parts = (
        f"{duration(goodput.useful_seconds)} useful",
        f"{duration(goodput.redone_seconds)} redone",
        f"{duration(goodput.idle_seconds)} idle",
    )
    return f"{goodput.useful_seconds / goodput.seconds:.0%} useful: {', '.join(parts)}"


def workers_text(job: JobView) -> str:
    """`1..4`, the range; of a job that runs `2 of 1..4`, or `2` where that is all it can have."""
    if job.state not in _ON_WORKERS or not job.runs or str(job.runs[-1].world_size) == job.workers:
        return job.workers
    return f"{job.runs[-1].world_size} of {job.workers}"


def _run_workers(run: RunView) -> str:
    """Its workers; where it should have others, `3 of 4`."""
    ended = run.ended_at is not None
    return str(run.world_size) if ended or run.wanted in (None, run.world_size) else f"{run.world_size} of {run.wanted}"


def _run_table(runs: Sequence[RunView]) -> str:
    heads = ("run", "state", ">workers", "started", "took", "message")
    rows = [
        (
            run.id,
            state(run.state),
            _run_workers(run),
            "" if run.started_at is None else clock(run.started_at),
            duration(run.ended_at - run.started_at) if run.started_at and run.ended_at else "",
            f"{run.failure_class}: {run.message}" if run.failure_class else run.message,
        )
        for run in runs
    ]
    return table(heads, rows)


def _field(name: str, value: str) -> list[str]:
    return [f"  {name:<10} {one_line(value, 500)}"] if value else []


def _moment(moment: float | None) -> str:
    return "" if moment is None else f"{clock(moment)} ({ago(moment)})"


def _checkpoint(event: EventView | None) -> str:
    return "" if event is None else f"{event.message.removeprefix('checkpoint ')}, {_moment(event.time)}"


def _expected(job: JobView) -> str:
    """When a job that waits should start; how sure that is takes longer to find out, and `why` does."""
    if job.expected_start is None or job.state not in _WAITING | {"starting"}:
        return ""
    now = time.time()
    ahead = duration(job.expected_start - now)
    soon = job.expected_start <= now + 1
    return "now" if soon else f"about {point(job.expected_start, now)}, in {ahead} (`orchestrator why {job.id}`)"


def _left(job: JobView) -> str:
    """By its own word and by what was expected of it, together."""
    if job.left is None:
        return ""
    now = time.time()
    ends = point(now + job.left.seconds, now)
    likely = f"8 of 10 times {duration(job.left.low)} to {duration(job.left.high)}"
    return f"{duration(job.left.seconds)}, {likely}; ends about {ends}"


def _estimate(job: JobView) -> str:
    """Of the whole job."""
    if job.expected is None or job.terminal:
        return ""
    found = job.expected
    times = f"8 of 10 times {duration(found.low)} to {duration(found.high)}"
    when = "" if job.started_at is None else "before it ran: "
    return f"{when}{duration(found.seconds)} in all, {times}; {found.source}"


def _pinned(job: JobView) -> str:
    if not job.pinned or job.terminal:
        return ""
    return f"a person chose it; `orchestrator resize {job.id} --auto` hands it back to the policy"


def _took(job: JobView) -> str:
    if job.started_at is None or job.finished_at is None:
        return ""
    return duration(job.finished_at - job.started_at)


def _age(job: JobView) -> str:
    return ago(job.created_at).removesuffix(" ago")


def _reason(job: JobView) -> str:
    return one_line(job.reason, 90) if not job.terminal or job.state == "failed" else ""
