"""How Ray Train chooses the number and the nodes of its workers on a cluster: by the places of the run.

Its own way counts what all nodes of the cluster have, whatever a label says and whoever has it, and asks the autoscaler
for it: what a run has was decided before, by our queue.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.scaling_policy import (
    NoopDecision,
    ResizeDecision,
    ScalingDecision,
    ScalingPolicy,
)
from ray.train.v2._internal.execution.worker_group import WorkerGroupPollStatus, WorkerGroupState
from ray.train.v2.api.config import ScalingConfig

from orchestrator.raytrain.places import Places, selectors


@dataclass
class PlacedScaling(ScalingConfig):
    """Ray Train's own numbers, and the places of the run.

    Attributes:
        places: of the run; None: all that Ray has is the run's.
    """

    places: Places | None = None

    def _label_selector_per_worker(self, num_workers: int) -> list[dict[str, str]] | None:
        """Asked anew for each start of all workers."""
        if self.places is None:
            return super()._label_selector_per_worker(num_workers)
        return selectors(self.places.there(), num_workers)


class OnPlaces(ScalingPolicy):
    """Starts a worker in each place that is there, up to the most that the run may have.

    With fewer places than it needs it tries all the same: a start that gets none within its time is counted, and ends
    the run after so many.

    Args:
        scaling: how many workers, and where.
        places: of the run.
    """

    def __init__(self, scaling: ScalingConfig, places: Places) -> None:
        super().__init__(scaling)
        self._places = places
        self._looked = float("-inf")

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """At the start, and whenever workers were lost."""
        return self._start(max(self._could(), self.scaling_config.min_workers))

    def make_decision_for_running_worker_group(
        self, worker_group_state: WorkerGroupState, worker_group_status: WorkerGroupPollStatus
    ) -> ScalingDecision:
        """Whether to start anew for places that came back; workers that are lost or to leave are noticed otherwise."""
        now = time.monotonic()
        if (
            now
            < max(self._looked, worker_group_state.start_time) + self.scaling_config.elastic_resize_monitor_interval_s
        ):
            return NoopDecision()
        self._looked = now
        could = self._could()
        return self._start(could) if could > worker_group_state.num_workers else NoopDecision()

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        """The autoscaler is asked for nothing."""

    def _could(self) -> int:
        return min(len(self._places.there()), self.scaling_config.max_workers)

    def _start(self, workers: int) -> ResizeDecision:
        return ResizeDecision(workers, self.scaling_config._resources_per_worker_not_none)

    def _get_num_workers_for_resource_request(self) -> int:
        return int(self.scaling_config.max_workers)
