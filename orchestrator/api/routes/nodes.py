"""The nodes of the cluster: look at them, take them out of service, and put them back."""

from __future__ import annotations

from fastapi import APIRouter

from orchestrator.api.context import ApiContext, Caller, Context
from orchestrator.base.errors import NotFound
from orchestrator.spec.answers import DrainRequest, NodeView

router = APIRouter()

_NAMED = 10


@router.get("/nodes")
def nodes(caller: Caller, context: Context) -> list[NodeView]:
    """The nodes, with what is on them."""
    return list(context.questions.nodes())


@router.post("/nodes/{node}/drain")
def drain(node: str, request: DrainRequest, caller: Caller, context: Context) -> NodeView:
    """Let nothing new start on a node."""
    caller.require("operator")
    _find(node, context)
    context.service.drain(node, request.note, caller.user)
    if request.now:
        context.service.evict(node, caller.user)
    context.wake()
    return _find(node, context)


@router.post("/nodes/{node}/resume")
def resume(node: str, caller: Caller, context: Context) -> NodeView:
    """Let jobs start on a drained node again."""
    caller.require("operator")
    _find(node, context)
    context.service.resume(node, caller.user)
    context.wake()
    return _find(node, context)


def _find(name: str, context: ApiContext) -> NodeView:
    known = context.questions.nodes()
    found = next((node for node in known if node.name == name), None)
    if found is None:
        shown = ", ".join(node.name for node in known[:_NAMED]) + (", …" if len(known) > _NAMED else "")
        raise NotFound(f"there is no node {name!r}", hint=f"the nodes are {shown}")
    return found
