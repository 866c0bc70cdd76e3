"""Which jobs that wait may be handed to an engine with a queue of its own, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Container

from orchestrator.control.facts import Facts
from orchestrator.lifecycle.states import JobState
from orchestrator.store.jobs import OpenJob


def ready(
    facts: Facts, back_off: Callable[[OpenJob], float | None], last: Container[str] = ()
) -> tuple[list[OpenJob], list[float]]:
    """Those that may start, in order, and when others may whose last run failed.

    Args:
        facts: of the queue.
        back_off: when a job may start again; None: now.
        last: jobs that come after all others.
    """
    found, waits = list[OpenJob](), list[float]()
    for job in facts.waiting:
        if job.state != str(JobState.QUEUED) or job.id in facts.holding or facts.unmet(job):
            continue
        until = back_off(job)
        if until is None:
            found.append(job)
        else:
            waits.append(until)
    found.sort(key=lambda job: (job.id in last, -job.priority, job.sequence))
    return found, waits
