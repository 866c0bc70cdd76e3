"""What a simulated scheduler is told about run times: users' words, the truth, nothing, or the truth with an error."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

from orchestrator.base.errors import UsageError
from orchestrator.scheduling.jobs import Estimate
from orchestrator.simulation.traces.trace import TraceJob

_SHORTEST = 1.0


@dataclass(frozen=True, slots=True)
class Guesses:
    """Where estimates come from.

    Attributes:
        source: `users`: what they expected is the estimate, and the time limit; `perfect`: the true duration; `none`;
            `error`: the true duration times a log-normal factor, drawn once for each job.
        error: standard deviation of the logarithm of that factor.
        seed: the draw of a job depends on it and on the job's identifier alone.
    """

    source: Literal["users", "perfect", "none", "error"] = "error"
    error: float = 0.5
    seed: int = 0

    def of(self, job: TraceJob) -> Estimate | None:
        """What the scheduler is told about a job; None: nothing."""
        if self.source == "users":
            return Estimate(job.estimate, 0.0) if job.estimate else None
        if self.source == "perfect":
            return Estimate(job.duration, 0.0)
        if self.source == "none":
            return None
        draw = random.Random(f"{self.seed}/{job.id}").gauss(0.0, self.error)
        return Estimate(max(_SHORTEST, job.duration) * math.exp(draw), self.error)

    def limit(self, job: TraceJob) -> float | None:
        """Seconds after which its run is ended with `workers_max` workers; None: never."""
        return (job.estimate or None) if self.source == "users" else None

    def __str__(self) -> str:
        return f"error:{self.error:g}" if self.source == "error" else self.source


def parse_guesses(text: str, seed: int = 0) -> Guesses:
    """From `users`, `perfect`, `none` or `error:0.5`.

    Raises:
        UsageError: it is none of them.
    """
    if text in ("users", "perfect", "none"):
        return Guesses(text, 0.0, seed)  # type: ignore[arg-type]
    name, _, number = text.partition(":")
    try:
        error = float(number)
    except ValueError:
        error = math.nan
    if name != "error" or not 0 <= error <= 10:
        raise UsageError(
            f"--estimates {text[:40]!r}: expected users, perfect, none, or error:0.5",
            hint="error:0.5 is the true duration times a log-normal factor with this standard deviation",
        )
    return Guesses("error", error, seed)
