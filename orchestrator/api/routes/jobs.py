"""Jobs: submit, look at, cancel, retry, hold, release, resize, order, and ask for a checkpoint."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from orchestrator.api.auth import Principal
from orchestrator.api.context import ApiContext, Caller, Context
from orchestrator.spec.answers import PriorityRequest, WhyView
from orchestrator.spec.messages import (
    BulkRequest,
    EventView,
    JobView,
    ResizeRequest,
    ResultsView,
    SubmitReply,
    SubmitRequest,
)
from orchestrator.spec.profile import ClusterProfile

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=10_000)]
_BEGUN = frozenset({"running", "resizing"})


async def _body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_body)]
"""A body as it came: what may be large is parsed by the handler, in its thread, and not where all requests wait."""


@router.post("/jobs")
def submit(request: SubmitRequest, caller: Caller, context: Context) -> SubmitReply:
    """Queue a workload; a priority above what the cluster allows users takes an operator."""
    caller.require("researcher")
    reply = context.service.submit(request, caller.user, highest=_highest(caller, context), teams=caller.teams)
    context.wake()
    return reply


@router.post("/jobs/bulk")
def submit_many(body: Body, caller: Caller, context: Context) -> list[SubmitReply]:
    """Queue many workloads, all or none, each perhaps after those before it."""
    caller.require("researcher")
    request = _many(body)
    highest = _highest(caller, context)
    replies = context.service.submit_many(request.jobs, caller.user, highest=highest, teams=caller.teams)
    context.wake()
    return list(replies)


@router.get("/jobs")
def list_jobs(
    caller: Caller,
    context: Context,
    state: Annotated[list[str] | None, Query()] = None,
    name: str | None = None,
    limit: Limit = 100,
) -> list[JobView]:
    """Jobs, newest first."""
    return context.questions.fill(context.service.list(states=state, limit=limit, name=name))


@router.get("/jobs/{job}")
def get(job: str, caller: Caller, context: Context) -> JobView:
    """One job, by identifier, unique prefix or name."""
    return context.questions.whole(context.service.get(context.service.resolve(job)))


@router.get("/jobs/{job}/why")
def why(job: str, caller: Caller, context: Context) -> WhyView:
    """Why it waits and what would free it; what it last had to do; or how it ended."""
    return context.questions.why(context.service.resolve(job))


@router.post("/jobs/{job}/cancel")
def cancel(job: str, caller: Caller, context: Context) -> JobView:
    """Stop a job."""
    view = context.service.cancel(_own(job, caller, context), caller.user)
    context.wake()
    return view


@router.post("/jobs/{job}/retry")
def retry(job: str, caller: Caller, context: Context) -> JobView:
    """Queue a job again that failed or was cancelled."""
    view = context.service.retry(_own(job, caller, context), caller.user)
    context.wake()
    return view


@router.post("/jobs/{job}/hold")
def hold(job: str, caller: Caller, context: Context) -> JobView:
    """Keep a job from starting."""
    view = context.service.hold(_own(job, caller, context), caller.user)
    context.wake()
    return view


@router.post("/jobs/{job}/release")
def release(job: str, caller: Caller, context: Context) -> JobView:
    """Let a held job start when its turn comes."""
    view = context.service.release(_own(job, caller, context), caller.user)
    context.wake()
    return view


@router.post("/jobs/{job}/priority")
def priority(job: str, request: PriorityRequest, caller: Caller, context: Context) -> JobView:
    """Give a job another priority; to raise it above what the cluster allows users takes an operator."""
    resolved = _own(job, caller, context)
    allowed = context.profile.limits.priority
    if request.priority > max(allowed, context.service.get(resolved).priority):
        caller.require("operator", f"a priority above {allowed}")
    view = context.service.set_priority(resolved, request.priority, caller.user)
    context.wake()
    return view.model_copy(update={"note": context.profile.priority_note or _effect(view, context.profile)})


def _effect(view: JobView, profile: ClusterProfile) -> str:
    """What another priority does to a job that an engine with a queue of its own has begun; empty where it waits."""
    if profile.backend != "slurm" or view.state not in _BEGUN:
        return ""
    training = view.kind != "command" and not view.kind.endswith(" search")
    if training and ".." in view.workers and profile.slurm.growth is not None:
        return "it runs already: this applies to its growth, what waits for it in Slurm included, and to its next run"
    return "it runs already, and Slurm leaves it alone: this applies to its next run, if there is one"


@router.post("/jobs/{job}/resize")
def resize(job: str, request: ResizeRequest, caller: Caller, context: Context) -> JobView:
    """Give a running job another number of workers, which the policy then leaves alone; null: hand it back to it."""
    view = context.service.resize(_own(job, caller, context), request.workers, caller.user)
    context.wake()
    return view


@router.post("/jobs/{job}/checkpoint")
def checkpoint(
    job: str, caller: Caller, context: Context, key: Annotated[str | None, Query(max_length=100)] = None
) -> JobView:
    """Ask a running job for a checkpoint; the same key again is the same request."""
    view = context.service.checkpoint(_own(job, caller, context), key, caller.user)
    context.wake()
    return view


@router.get("/jobs/{job}/events")
def events(
    job: str, caller: Caller, context: Context, after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 1000
) -> list[EventView]:
    """A job's history after the event `after`."""
    return list(context.service.events(context.service.resolve(job), after, limit))


@router.get("/jobs/{job}/results")
def results(job: str, caller: Caller, context: Context) -> ResultsView:
    """What a job has found so far."""
    return context.service.results(context.service.resolve(job))


def _many(body: bytes) -> BulkRequest:
    try:
        return BulkRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def _own(job: str, caller: Principal, context: ApiContext) -> str:
    resolved = context.service.resolve(job)
    caller.require_owner(resolved, context.service.get(resolved).owner)
    return resolved


def _highest(caller: Principal, context: ApiContext) -> int | None:
    """The highest priority that the caller may give; None: any."""
    return None if caller.may("operator") else context.profile.limits.priority
