"""The nodes of a cluster as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.base.text import counted, one_line
from orchestrator.cli.human import duration, point
from orchestrator.cli.output import state, table
from orchestrator.spec.answers import NodeView, WindowView

_JOBS_SHOWN = 4


def node_table(nodes: Sequence[NodeView], now: float) -> str:
    """One line for each node."""
    cores = any(node.cpus for node in nodes)
    beside = (">cores", ">used", ">free") if cores else ()
    heads = ("node", "state", ">slots", ">used", ">free", ">kept", *beside, "type", "rack", "jobs", "note")
    return table(heads, [_row(node, now, cores=cores) for node in nodes])


def node_sentence(node: NodeView, now: float) -> str:
    """What a node does now."""
    changed = f"; nothing was changed: {node.change}" if node.change else ""
    if node.unknown:
        return f"{node.name} {state(node.state)}; what is on it is not known: {one_line(node.unknown, 200)}{changed}"
    jobs = f"; {counted(len(node.jobs), 'job')} on it: {_named(node.jobs)}" if node.jobs else "; nothing runs on it"
    return f"{node.name} {state(node.state)}{_lasts(node, now)}{jobs}{changed}"


def _lasts(node: NodeView, now: float) -> str:
    """How long maintenance keeps a node from taking work; empty where it does not."""
    ends = [window.end for window in node.windows if window.start <= now < (window.end or math.inf)]
    if node.state != "maintenance" or not ends:
        return ""
    return ": nothing starts there until " + ("further notice" if ends[0] is None else point(ends[0], now))


def drain_sentence(node: NodeView, *, now: bool) -> str:
    """What becomes of the jobs on a node that takes nothing new: they are stopped `now`, or go on to their end."""
    parts = [f"{node.name} {state(node.state)}", *_goodbyes(node, now=now)]
    if node.unknown:
        parts.append(f"what is on it is not known: {one_line(node.unknown, 200)}")
    elif len(parts) == 1:
        parts.append("nothing runs on it")
    return "; ".join(parts)


def _goodbyes(node: NodeView, *, now: bool) -> Iterator[str]:
    stopped = {job: node.jobs.get(job, 0) for job in node.stopped}
    others = {job: workers for job, workers in node.jobs.items() if job not in stopped}
    lost = {job: seconds for job, seconds in node.unsaved.items() if job in stopped}
    saved = {job: workers for job, workers in stopped.items() if job not in lost}
    if len(saved) == 1:
        yield f"1 job on it is asked to save its state and stop: {_named(saved)}"
        yield "it goes back to its place in the queue"
    elif saved:
        yield f"{len(saved):,} jobs on it are asked to save their state and stop: {_named(saved)}"
        yield "they go back to their places in the queue"
    if len(lost) == 1:
        yield f"1 job on it is stopped without saving its state: {_ran(lost)}"
        yield "it goes back to its place in the queue, a command to start from the beginning"
    elif lost:
        yield f"{len(lost):,} jobs on it are stopped without saving their state: {_ran(lost)}"
        yield "they go back to their places in the queue, commands to start from the beginning"
    if others and now:
        yield f"{counted(len(others), 'job')} on it asked before: {_named(others)}"
    elif others:
        yield f"{counted(len(others), 'job')} on it, left to end: {_named(others)}"
        if unsaved := {job: seconds for job, seconds in node.unsaved.items() if job in others}:
            yield f"--now would stop without saving any state, commands to start from the beginning: {_ran(unsaved)}"


def _row(node: NodeView, now: float, *, cores: bool) -> tuple[str, ...]:
    kept = f"{node.claimed:,}" if node.claimed else ""
    kind = node.gpu_type or node.kind
    counts = (f"{node.slots:,}", f"{node.used:,}", f"{node.free:,}", kept)
    beside = (f"{node.cpus:,}", f"{node.cpus_used:,}", f"{node.cpus_free:,}") if cores else ()
    return (node.name, state(node.state), *counts, *beside, kind, node.rack, _named(node.jobs), _note(node, now))


def _named(jobs: Mapping[str, int]) -> str:
    """Jobs and their workers; of one that has gone by now, the job alone."""
    named = [f"{job} ({workers})" if workers else job for job, workers in list(jobs.items())[:_JOBS_SHOWN]]
    more = len(jobs) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _ran(jobs: Mapping[str, float]) -> str:
    """Jobs and how long they have run."""
    named = [f"{job} (after {duration(seconds)})" for job, seconds in list(jobs.items())[:_JOBS_SHOWN]]
    more = len(jobs) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _note(node: NodeView, now: float) -> str:
    parts = [one_line(node.note, 60)] if node.note else []
    if node.by or node.since is not None:
        who = f"by {one_line(node.by, 30)}" if node.by else ""
        since = "" if node.since is None else f"since {point(node.since, now)}"
        parts.append(" ".join(part for part in (who, since) if part))
    parts += [one_line(node.others, 300)] if node.others else []
    parts += [_window(window, now) for window in node.windows if window.end is None or window.end > now]
    return "; ".join(parts)


def _window(window: WindowView, now: float) -> str:
    end = "until further notice" if window.end is None else f"to {point(window.end, now)}"
    why = "" if window.why == "maintenance" else f" ({one_line(window.why, 40)})"
    return f"maintenance{why} {point(window.start, now)} {end}"
