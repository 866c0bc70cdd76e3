"""The nodes of a cluster as a table."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.base.text import counted, one_line
from orchestrator.cli.human import point
from orchestrator.cli.output import state, table
from orchestrator.spec.answers import NodeView, WindowView

_JOBS_SHOWN = 4


def node_table(nodes: Sequence[NodeView], now: float) -> str:
    """One line for each node."""
    heads = ("node", "state", ">slots", ">used", ">free", ">kept", "type", "rack", "jobs", "note")
    return table(heads, [_row(node, now) for node in nodes])


def node_sentence(node: NodeView) -> str:
    """What a node does now."""
    changed = f"; nothing was changed: {node.change}" if node.change else ""
    if node.unknown:
        return f"{node.name} {state(node.state)}; what is on it is not known: {one_line(node.unknown, 200)}{changed}"
    jobs = f"; {counted(len(node.jobs), 'job')} on it: {_jobs(node)}" if node.jobs else "; nothing runs on it"
    return f"{node.name} {state(node.state)}{jobs}{changed}"


def _row(node: NodeView, now: float) -> tuple[str, ...]:
    kept = f"{node.claimed:,}" if node.claimed else ""
    kind = node.gpu_type or node.kind
    counts = (f"{node.slots:,}", f"{node.used:,}", f"{node.free:,}", kept)
    return (node.name, state(node.state), *counts, kind, node.rack, _jobs(node), _note(node, now))


def _jobs(node: NodeView) -> str:
    named = [f"{job} ({workers})" for job, workers in list(node.jobs.items())[:_JOBS_SHOWN]]
    more = len(node.jobs) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _note(node: NodeView, now: float) -> str:
    parts = [one_line(node.note, 60)] if node.note else []
    if node.by or node.since is not None:
        who = f"by {one_line(node.by, 30)}" if node.by else ""
        since = "" if node.since is None else f"since {point(node.since, now)}"
        parts.append(" ".join(part for part in (who, since) if part))
    parts += [_window(window, now) for window in node.windows if window.end is None or window.end > now]
    return "; ".join(parts)


def _window(window: WindowView, now: float) -> str:
    end = "until further notice" if window.end is None else f"to {point(window.end, now)}"
    return f"{one_line(window.why, 40)} {point(window.start, now)} {end}"
