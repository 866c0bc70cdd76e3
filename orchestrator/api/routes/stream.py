"""A job's life as server-sent events: `event` for each entry of its history, `job` whenever what is shown changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from orchestrator.api.context import ApiContext, Caller, Context
from orchestrator.spec.messages import EventView, JobView

router = APIRouter()

POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 2.0
REASON_SECONDS = 1.0
"""Many may watch: why a job waits is worked out once in so long for all of them."""


@router.get("/jobs/{job}/stream")
def stream(job: str, caller: Caller, context: Context, after: Annotated[int, Query(ge=0)] = 0) -> StreamingResponse:
    """Follow a job until it is terminal; `after` is the last event that the caller has."""
    resolved = context.service.resolve(job)
    return StreamingResponse(_follow(context, resolved, after), media_type="text/event-stream")


async def _follow(context: ApiContext, job: str, after: int) -> AsyncIterator[bytes]:
    shown: JobView | None = None
    quiet = 0.0
    while not context.stopping.is_set():
        # The view is read before the history: when it is terminal, the history that follows is complete.
        view, history = await anyio.to_thread.run_sync(_look, context, job, after)
        for entry in history:
            after = entry.id
            yield _message("event", entry.model_dump(mode="json"))
        if view != shown:
            shown = view
            yield _message("job", view.model_dump(mode="json"))
            quiet = 0.0
        if view.terminal and not history:
            return
        if not history:
            await anyio.sleep(POLL_SECONDS)
            quiet += POLL_SECONDS
        if quiet >= KEEP_ALIVE_SECONDS:
            yield b": still here\n\n"
            quiet = 0.0


def _look(context: ApiContext, job: str, after: int) -> tuple[JobView, Sequence[EventView]]:
    view = context.questions.fill([context.service.get(job)], max_age=REASON_SECONDS)[0]
    return view, context.service.events(job, after, 1000)


def _message(kind: str, data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
