"""The queue as a whole: who runs, who waits and in which order, and what one more job would change."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from orchestrator.api.context import Caller, Context
from orchestrator.spec.answers import QueueView, WhatIfRequest, WhatIfView

router = APIRouter()


@router.get("/queue")
def queue(
    caller: Caller,
    context: Context,
    team: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
) -> QueueView:
    """What runs and what waits, in the policy's order."""
    return context.questions.queue(team=team, limit=limit)


@router.get("/queue/snapshot")
def snapshot(caller: Caller, context: Context) -> Response:
    """What the policy sees now, and the policy: a file for a bug report."""
    return Response(context.questions.snapshot(), media_type="application/json")


@router.post("/what-if")
def what_if(request: WhatIfRequest, caller: Caller, context: Context) -> WhatIfView:
    """When a workload would start and whom it would delay; nothing is queued."""
    return context.questions.what_if(request)
