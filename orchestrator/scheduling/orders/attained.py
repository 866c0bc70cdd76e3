"""Least attained service: who has had little goes first (Tiresias, Gu et al., NSDI 2019, section 3.3, 2D-LAS)."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.orders.simple import Submission

if TYPE_CHECKING:
    from orchestrator.scheduling.jobs import Job, Running


@dataclass(frozen=True)
class Attained(Submission):
    """By priority, then queues by attained slot-seconds, first come first served within each.

    Nobody has to know how long a job takes.

    A job is in queue number i when it has reached i of the thresholds. A running one sinks as it goes.
    """

    thresholds: tuple[float, ...]

    def queue(self, attained: float) -> int:
        """The queue of a job that has held so many slot-seconds."""
        return bisect_right(self.thresholds, attained + 1e-6)

    def key(self, job: Job, now: float) -> Key:
        """Its queue."""
        return (-job.priority, self.queue(job.attained), job.sequence)

    def running_key(self, running: Running, now: float) -> Key:
        """Its queue by now."""
        job = running.job
        return (-job.priority, self.queue(running.attained(now)), job.sequence)

    def latest_key(self, running: Running, now: float, until: float) -> Key:
        """Its queue by then."""
        return self.running_key(running, until)

    def sinks(self, running: Running, now: float) -> float:
        """When it reaches the next threshold."""
        attained, slots = running.attained(now), running.slots
        queue = self.queue(attained)
        if queue == len(self.thresholds) or slots == 0:
            return math.inf
        return now + (self.thresholds[queue] - attained) / slots
