"""What people change beside the life of a job: priorities, and nodes that take no work."""

from __future__ import annotations

import logging
import shlex

from orchestrator.base.errors import BackendUnavailable, Conflict, NotFound, UsageError
from orchestrator.base.text import one_line
from orchestrator.control.site import Site
from orchestrator.spec.base import HIGHEST_PRIORITY, LOWEST_PRIORITY
from orchestrator.store import events, jobs, nodes
from orchestrator.store.nodes import NodeState

_LOG = logging.getLogger(__name__)


def set_priority(site: Site, job: str, priority: int, by: str) -> None:
    """Change it and say so in the job's history.

    Raises:
        NotFound: there is no such job.
        UsageError: no priority.
        Conflict: it is over.
    """
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise UsageError(f"{priority} is no priority", hint=f"it lies between {LOWEST_PRIORITY} and {HIGHEST_PRIORITY}")
    with site.commit("priority") as connection:
        record = jobs.get(connection, job)
        if record.state.terminal:
            raise Conflict(f"job {job} {record.state.clause}", hint="nothing was changed")
        if record.priority == priority:
            return
        jobs.set_columns(connection, record, priority=priority)
        message = f"priority changed from {record.priority} to {priority} by {one_line(by, 200)}"
        data = {"from": record.priority, "to": priority, "by": by}
        events.append(connection, job, "priority", message, time=site.clock.now(), data=data)


def mark_node(site: Site, node: str, state: NodeState, *, note: str, by: str) -> None:
    """Drain a node, or take it back; the same word twice changes nothing but its note.

    Raises:
        Conflict: the engine has a scheduler of its own, which knows nothing of our word, and has not drained it.
        NotFound: the cluster has no such node, and nobody ever drained one of this name.
    """
    if site.backend.queues:
        if state == "drained" and _engine_has_drained(site, node):
            return
        raise _engines_own(site, node, state, note)
    with site.store.read() as connection:
        marked = nodes.all(connection)
    known = [name for group in site.profile.nodes for name in group.names] if site.profile.names_nodes else []
    known += [] if node in known or node in marked else _others(site, known)
    if node not in known and node not in marked:
        shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
        raise NotFound(f"cluster {site.profile.name} has no node {node!r}", hint=f"its nodes: {shown}")
    note = one_line(note, 300)
    with site.commit("node") as connection:
        said, by, since = nodes.all(connection).get(node), one_line(by, 200), site.clock.now()
        if said is not None and said.state == state:  # who did it, and when, stays
            note, by, since = note or said.note, said.by, said.since
        nodes.set_state(connection, node, state, note=note, by=by, time=since)
    if state != ("up" if said is None else said.state):
        _LOG.info("node %s: %s by %s%s", node, state, by, f": {note}" if note else "")


def _engine_has_drained(site: Site, node: str) -> bool:
    """Whether it is as asked already; not, while the engine is silent."""
    try:
        return any(facts.drained for facts in site.backend.capacity().nodes if facts.name == node)
    except BackendUnavailable:
        return False


def _engines_own(site: Site, node: str, state: NodeState, note: str) -> Conflict:
    """What to type instead: the word that counts is that of the engine's own operator."""
    command = ["scontrol", "update", f"nodename={node}", f"state={'drain' if state == 'drained' else 'resume'}"]
    if state == "drained":
        command.append(f"reason={one_line(note, 200) or 'maintenance'}")
    engine = site.backend.name.capitalize()
    return Conflict(
        f"{engine} decides what starts on {one_line(node, 100)}: nothing was changed",
        hint=f"an operator of {engine} types: {shlex.join(command)}",
    )


def _others(site: Site, known: list[str]) -> list[str]:
    """Nodes that the engine has and the profile does not name; none while it is silent."""
    try:
        return [facts.name for facts in site.backend.capacity().nodes if facts.name not in known]
    except BackendUnavailable:
        return []
