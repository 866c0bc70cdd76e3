"""Run times of what has no features, such as a command: from earlier runs of the like, else from its time limit.

The last runs of the same user predict better than what users say: Tsafrir, Etsion and Feitelson, "Backfilling Using
System-Generated Predictions Rather than User Runtime Estimates", IEEE TPDS 18(6), 2007, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.base.text import counted
from orchestrator.scheduling.estimates.errors import Believed, pooled
from orchestrator.scheduling.estimates.forecast import RunEstimate

RECENT = 5
"""Earlier runs that count, the newest ones."""

LIMIT_SHARE = 0.4
"""Of a time limit that people set, what runs take in the median; they leave room (Mu'alem and Feitelson, IEEE TPDS
12(6), 2001, figure 3: spread over the whole of it)."""

FROM_LIMIT = "from its time limit"
"""The source of an estimate that knows nothing else."""

_LIMIT_ERROR = 0.9
_WORTH = 2.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that succeeded.

    Attributes:
        name: of its job.
        owner: who submitted it.
        content: digest of what was submitted.
        seconds: that it ran.
        workers: that it had.
        at: when it ended, seconds since the epoch.
    """

    name: str
    owner: str
    content: str
    seconds: float
    workers: int = 1
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a job that has no features.

    Attributes:
        name: of the job.
        owner: who submits it.
        content: digest of what is submitted; empty where it is not submitted yet.
        workers_max: the most workers that it can use.
        limit: seconds that a run may take; None: none was set.
        exponent: of its speed over its workers, as far as anybody knows: 0.0 where more of them do not make it faster.
    """

    name: str
    owner: str = ""
    content: str = ""
    workers_max: int = 1
    limit: float | None = None
    exponent: float = 1.0


def from_history(asked: Asked, finished: Sequence[Finished]) -> RunEstimate | None:
    """The geometric mean of the last runs that are most alike; None where nobody has an idea.

    Args:
        asked: the job.
        finished: runs that succeeded, of anybody.
    """
    newest = sorted(finished, key=lambda run: -run.at)
    for words, alike, prior in _levels(asked):
        found = [run for run in newest if run.seconds > 0 and alike(run)][:RECENT]
        if found:
            return _mean(asked, found, words, prior)
    if asked.limit is None:
        return None
    seconds = LIMIT_SHARE * asked.limit
    return _told(asked, seconds, _LIMIT_ERROR, FROM_LIMIT)


def _levels(asked: Asked) -> Sequence[tuple[str, Callable[[Finished], bool], float]]:
    """Who is alike, the closest first, and the error that is believed before it was measured."""
    return (
        ("of the same content", lambda run: bool(asked.content) and run.content == asked.content, 0.25),
        ("of this name by this owner", lambda run: (run.name, run.owner) == (asked.name, asked.owner), 0.5),
        ("of this name", lambda run: run.name == asked.name, 0.7),
    )


def _mean(asked: Asked, found: Sequence[Finished], words: str, prior: float) -> RunEstimate:
    logs = [math.log(run.seconds) for run in found]
    mean = sum(logs) / len(logs)
    count = len(logs)
    # Each run as the others predict it, which is as far from their mean as from that of all times n / (n - 1).
    left_out = [(value - mean) * count / (count - 1) for value in logs] if count > 1 else []
    error = pooled(left_out, Believed(prior, _WORTH))
    seconds = math.exp(mean)
    if asked.limit is not None:
        seconds = min(seconds, asked.limit)
    source = f"from {counted(count, 'finished run')} {words}"
    return _told(asked, seconds, error, source)


def _told(asked: Asked, seconds: float, error: float, source: str) -> RunEstimate:
    most = asked.workers_max
    return RunEstimate(seconds, error, most, {most: seconds}, source, assumed=asked.exponent)
