"""The server itself: who answers, and the way to end it."""

from __future__ import annotations

from fastapi import APIRouter

from orchestrator.api.context import Caller, Context
from orchestrator.spec.messages import ServerInfo
from orchestrator.spec.profile import ClusterProfile

router = APIRouter()


@router.get("/server")
def server(caller: Caller, context: Context) -> ServerInfo:
    """Version, engine and slots, and who the caller is to this server."""
    return context.describe().model_copy(update={"user": caller.user, "role": caller.role})


@router.get("/profile")
def profile(caller: Caller, context: Context) -> ClusterProfile:
    """The cluster as its operators wrote it."""
    return context.profile


@router.post("/server/shutdown")
def shutdown(caller: Caller, context: Context) -> ServerInfo:
    """End the server; its jobs go on and the next server adopts them."""
    caller.require("admin")
    info = server(caller, context)
    context.stop()
    return info
