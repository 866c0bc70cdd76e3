"""The nodes of the cluster: look at them, take them out of service, and put them back."""

from __future__ import annotations

from fastapi import APIRouter

from orchestrator.api.context import ApiContext, Caller, Context
from orchestrator.base.errors import BackendUnavailable
from orchestrator.spec.answers import DrainRequest, NodeView

router = APIRouter()


@router.get("/nodes")
def nodes(caller: Caller, context: Context) -> list[NodeView]:
    """The nodes, with what is on them."""
    return list(context.questions.nodes())


@router.post("/nodes/{node}/drain")
def drain(node: str, request: DrainRequest, caller: Caller, context: Context) -> NodeView:
    """Let nothing new start on a node."""
    caller.require("operator")
    context.service.drain(node, request.note, caller.user)
    stopped = list(context.service.evict(node, caller.user)) if request.now else []
    context.wake()
    return _view(node, "drained", context).model_copy(update={"stopped": stopped})


@router.post("/nodes/{node}/resume")
def resume(node: str, caller: Caller, context: Context) -> NodeView:
    """Let jobs start on a drained node again."""
    caller.require("operator")
    before = _view(node, "", context)
    context.service.resume(node, caller.user)
    context.wake()
    after = _view(node, "up", context)
    if before.state == "drained":
        return after
    was = "in maintenance" if before.state == "maintenance" else before.state
    return after.model_copy(update={"change": "" if before.unknown else f"it was not drained, but {was}"})


def _view(name: str, state: str, context: ApiContext) -> NodeView:
    """The node as it is now; while the engine is silent or has it no more, what is left to say of it."""
    try:
        found = next((node for node in context.questions.nodes() if node.name == name), None)
    except BackendUnavailable as error:
        return NodeView(name=name, state=state, slots=0, used=0, free=0, unknown=error.message)
    gone = NodeView(name=name, state=state, slots=0, used=0, free=0, unknown="the engine has it no more")
    return gone if found is None else found
