"""What runs tell, as entries of a job's history: one sentence for each kind of event."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from orchestrator.base.text import counted, one_line
from orchestrator.control.membership import CAUSES
from orchestrator.lifecycle.reasons import utc

_LONGEST = 500

TOLD = frozenset(
    {
        "agent_finished",
        "agent_started",
        "checkpoint",
        "checkpoint_failed",
        "checkpoint_passed_over",
        "data_skipped",
        "draining",
        "out_of_memory",
        "resized",
        "rolled_back",
        "step_skipped",
        "trial",
        "worker_lost",
    }
)
"""Kinds that may become entries of the history."""


def worth_telling(kind: str, data: Mapping[str, Any]) -> bool:
    """Whether an event becomes an entry; where a run went back without a loss, nothing happened to it."""
    of = _Words(data)
    return kind in TOLD and (kind != "rolled_back" or bool(of.number("lost_steps") or of.number("lost_samples")))


def sentence(kind: str, data: Mapping[str, Any]) -> str:
    """One line; the data is foreign."""
    return one_line(_sentence(kind, _Words(data)), _LONGEST)


class _Words:
    """The values of an event; a question mark for what is not there."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getitem__(self, name: str) -> str:
        return str(self._data.get(name, "?"))

    def number(self, name: str) -> float:
        """Zero where it is none."""
        found = self._data.get(name)
        return found if isinstance(found, int | float) else 0

    def count(self, name: str, noun: str) -> str:
        return counted(self._data.get(name, "?"), noun)

    def instants(self, name: str) -> str:
        """Of a mapping from what is meant to when."""
        found = self._data.get(name)
        at = {what: when for what, when in found.items() if _is_instant(when)} if isinstance(found, dict) else {}
        return ", ".join(f"{what} until {utc(when)}" if when else str(what) for what, when in at.items()) or "?"

    @property
    def cause(self) -> str:
        cause = str(self._data.get("cause") or "")
        return CAUSES.get(cause, cause)


def _sentence(kind: str, of: _Words) -> str:
    match kind:
        case "agent_started":
            return f"its agent runs on {of['host']}"
        case "agent_finished":
            return f"one of its agents is done: {of['message']}"
        case "checkpoint":
            return f"checkpoint at {of.count('samples', 'sample')}"
        case "checkpoint_failed":
            return f"no checkpoint at {of.count('samples', 'sample')}: {of['reason']}"
        case "checkpoint_passed_over":
            return f"a checkpoint was passed over: {of['reason']}"
        case "data_skipped":
            return f"{of['count']} corrupt records of shard {of['shard']} left out ({of['split']})"
        case "draining":
            return f"its nodes are drained: {of.instants('until')}"
        case "resized":
            asked = of["cause"] == "resize"
            why = ", as asked" if asked else f": {of.cause}" if of.cause else ""
            return f"now on {of.count('world_size', 'worker')}{why}"
        case "out_of_memory":
            return f"out of memory in step {of['step']}: {of['answer']}"
        case "rolled_back":
            lost = of.count("lost_steps", "step") if of.number("lost_steps") else of.count("lost_samples", "sample")
            return f"back to the checkpoint at {of.count('samples', 'sample')}; {lost} lost, to be done again"
        case "step_skipped":
            return f"{of.count('count', 'step')} left out, the last one is {of['step']}: {of['reason']}"
        case "worker_lost":
            return f"worker {of['number']} was lost: {of['message']}"
        case _:
            return f"trial {of['index']}: {of['state']}"


def _is_instant(found: object) -> bool:
    return isinstance(found, int | float) and isfinite(found)
