"""One trial's work on the run's own places of a cluster's Ray: what needs a GPU that the driver itself has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.onray.cluster import Reserved, be_as_the_driver, cluster_ray
from orchestrator.search.trial import TrialFailed, TrialTask, execute

Hear = Callable[[Mapping[str, Any]], None]


class GroupProcess:
    """Runs one task after the other in the run's placement group.

    Args:
        reserved: what the run has of the cluster's Ray.
        on_lost: told when Ray's head is gone.
    """

    def __init__(self, reserved: Reserved, on_lost: Callable[[str], None]) -> None:
        self._reserved = reserved
        self._on_lost = on_lost

    def run(self, task: TrialTask, hear: Hear, idle: Callable[[], None]) -> None:
        """Run a task to its end.

        Args:
            task: what to do.
            hear: told of its reports, the last of which has an `end`.
            idle: called while nothing is heard.

        Raises:
            TrialFailed: it failed, or its process died.
        """
        import ray
        from ray.util.placement_group import get_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        each = dict(self._reserved.each)
        with cluster_ray(self._reserved, self._on_lost):
            place = PlacementGroupSchedulingStrategy(get_placement_group(self._reserved.group))
            options = {"num_cpus": each.get("CPU", 0), "num_gpus": each.get("GPU", 0), "max_retries": 0}
            work = ray.remote(_reports_of).options(scheduling_strategy=place, **options).remote(task)
            while not ray.wait([work], timeout=0.2)[0]:
                idle()
            try:
                reports = ray.get(work)
            except ray.exceptions.RayError as error:
                raise TrialFailed(f"infrastructure: {type(error).__name__}: {error}") from None
        for report in reports:
            if "failed" in report:
                raise TrialFailed(report["failed"])
            hear(report)

    def close(self) -> None:
        """Nothing of it is open."""


def _reports_of(task: TrialTask) -> list[dict[str, Any]]:
    be_as_the_driver()
    reports: list[dict[str, Any]] = []
    try:
        execute(task, reports.append)
    except TrialFailed as error:
        reports.append({"failed": str(error)})
    return reports
