"""A job's history as text: checkpoints do not drown the rest, and nothing is told twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from orchestrator.cli.jobtext import event_line
from orchestrator.client import Client
from orchestrator.spec.messages import EventView

CHECKPOINT = "checkpoint"
_PAGE = 1000


def whole_history(client: Client, job: str) -> list[EventView]:
    """All events of a job, oldest first."""
    history: list[EventView] = []
    while page := client.events(job, after=history[-1].id if history else 0, limit=_PAGE):
        history += page
        if len(page) < _PAGE:
            break
    return history


def repeats(event: EventView) -> bool:
    """Whether it only says that a resize is done, as the `resized` entry beside it does."""
    data = event.data
    return event.kind == "state" and data.get("from") == "resizing" and "workers" in data


def event_lines(events: Sequence[EventView]) -> Iterator[str]:
    """A line for each entry; one for all checkpoints that follow each other."""
    told = _news(event for event in events if not repeats(event))
    for checkpoints, group in groupby(told, key=lambda event: event.kind == CHECKPOINT):
        entries = list(group)
        yield from map(event_line, [_folded(entries)] if checkpoints else entries)


def _news(events: Iterable[EventView]) -> Iterator[EventView]:
    """Without moves whose words are those of the move before: a preempted job is queued again for the same cause."""
    said = ""
    for event in events:
        if event.kind != "state" or not event.message or event.message != said:
            yield event
        said = event.message if event.kind == "state" else said


def _folded(checkpoints: Sequence[EventView]) -> EventView:
    last = checkpoints[-1]
    if len(checkpoints) == 1:
        return last
    message = f"{len(checkpoints):,} checkpoints, the last one {last.message.removeprefix('checkpoint ')}"
    return last.model_copy(update={"message": message})
