"""Log files, in pieces, so that `logs -f` can follow one while it grows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from orchestrator.api.context import Caller, Context
from orchestrator.base.errors import NotFound
from orchestrator.spec.messages import LogFile

router = APIRouter()

CHUNK = 2**20
"""Bytes that one answer holds at most."""


@router.get("/jobs/{job}/logs")
def logs(job: str, caller: Caller, context: Context) -> list[LogFile]:
    """The log files of all runs of a job."""
    return list(context.service.logs(context.service.resolve(job)))


@router.get("/jobs/{job}/logs/{name}")
def read_log(
    job: str,
    name: str,
    caller: Caller,
    context: Context,
    run: str | None = None,
    offset: int = 0,
    limit: Annotated[int, Query(ge=1, le=CHUNK)] = CHUNK,
) -> Response:
    """Bytes of a log file from `offset` (negative: from its end); `X-Log-Offset` says where the next ones begin."""
    path = context.service.log_path(context.service.resolve(job), run, name)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size + offset) if offset < 0 else min(offset, size)
            file.seek(start)
            content = file.read(limit)
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(f"job {job} has no log {name}", hint=f"orchestrator logs {job} --list names them") from None
    headers = {"x-log-offset": str(start + len(content)), "x-log-size": str(size)}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)
