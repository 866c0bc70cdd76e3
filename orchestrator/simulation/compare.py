"""One load under several policies, on one cluster with the same failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.engine import Engine
from orchestrator.simulation.metrics import Figures, figures
from orchestrator.simulation.observers import Fragmentation, Series
from orchestrator.simulation.outcomes import Result
from orchestrator.simulation.setting import Setting
from orchestrator.spec.policy import Policy

_POINTS = 2_000
_SAMPLES = 500


@dataclass(frozen=True)
class Compared:
    """What one policy made of it.

    Attributes:
        name: of the policy, as it was asked for.
        policy: that decided.
        result: of the simulation.
        figures: of the result.
        series: queue and use over time.
    """

    name: str
    policy: Policy
    result: Result
    figures: Figures
    series: Series

    def document(self) -> dict[str, object]:
        """As JSON values; `metrics.UNITS` says what the figures are in."""
        return {
            "name": self.name,
            "policy": self.policy.model_dump(mode="json"),
            "stopped": self.result.stopped,
            "figures": asdict(self.figures),
        }


class Comparison:
    """Policies one after the other; `stop` ends the one that runs, and the rest do not begin.

    Args:
        setting: what they have in common.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._engine: Engine | None = None
        self.stopped = False

    def stop(self) -> None:
        """Come to an end before the next instant; from a signal's handler, too."""
        self.stopped = True
        if self._engine is not None:
            self._engine.stop = True

    def run(self, name: str, policy: Policy, progress: Callable[[int, int], None] | None = None) -> Compared:
        """Simulate one policy.

        Args:
            name: what it is called.
            policy: that decides.
            progress: told how many jobs of how many ended.

        Raises:
            EndlessDecision: the policy never comes to an end at some instant.
        """
        setting = self._setting
        jobs = setting.load.jobs
        span = jobs[-1].job.submitted - jobs[0].job.submitted if jobs else 0.0
        series, fragmentation = Series(span / _POINTS), Fragmentation(span / _SAMPLES)
        now = jobs[0].job.submitted if jobs else 0.0
        self._engine = Engine(
            Snapshot(now, setting.nodes, teams=setting.teams, max_workers=setting.max_workers),
            jobs,
            policy,
            charges=setting.charges,
            faults=setting.faults,
            drains=setting.drains,
            observers=(series, fragmentation),
        )
        self._engine.stop = self.stopped
        result = self._engine.run(progress=progress)
        if progress is not None:
            progress(len(result.outcomes), len(jobs))
        return Compared(name, policy, result, figures(result, fragmentation=fragmentation.share), series)
