"""Calls Ray Train: so many workers, what they may use, how often they are started anew."""

from __future__ import annotations

from typing import Any

from ray.train.backend import Backend
from ray.train.torch import TorchConfig
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.callback import RayTrainCallback
from ray.train.v2.api.config import FailureConfig, RunConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from orchestrator.raytrain.cluster import Room
from orchestrator.raytrain.scaling import OnPlaces, PlacedScaling
from orchestrator.raytrain.settings import LOOK_FOR_ROOM_SECONDS, STARTS
from orchestrator.raytrain.task import WorkerTask
from orchestrator.raytrain.worker import train_worker


class OwnGroup(TorchConfig):
    """Ray Train forms no process group: the training engine forms its own, whose sums have a fixed order."""

    @property
    def backend_cls(self) -> type[Backend]:
        """None that does anything."""
        return Backend


class Trainer(TorchTrainer):
    """On the places of the run, and without Ray Train's watch over its own controller.

    What the controller has goes with the run's driver in any case. That watch asks a dashboard, and where a private Ray
    has none it may ask that of another Ray on the same machine, which knows nothing of the controller: it would take it
    for dead, and the workers' places away.
    """

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        made = super()._create_default_callbacks()
        return [each for each in made if not isinstance(each, PlacementGroupCleanerCallback)]

    def _initialize_and_run_controller(self, **controller: Any) -> Any:
        scaling = self.scaling_config
        if isinstance(scaling, PlacedScaling) and scaling.places is not None:
            controller["scaling_policy"] = OnPlaces(scaling, scaling.places)
        return super()._initialize_and_run_controller(**controller)


def fit(task: WorkerTask, room: Room, restarts: int) -> dict[str, Any]:
    """Train until the workers have ended; what worker 0 returned.

    Args:
        task: of each worker.
        room: what Ray Train may use.
        restarts: how often all workers are started anew after one was lost.

    Raises:
        TrainingFailedError: Ray Train has given up.
    """
    trainer = Trainer(
        train_worker,
        train_loop_config=task.config(),
        torch_config=OwnGroup(),
        scaling_config=PlacedScaling(
            num_workers=room.workers,
            use_gpu="GPU" in room.resources,
            resources_per_worker=room.resources,
            elastic_resize_monitor_interval_s=LOOK_FOR_ROOM_SECONDS,
            places=room.places,
        ),
        run_config=RunConfig(
            name=task.directory.run,
            storage_path=str(room.scratch),
            failure_config=FailureConfig(max_failures=restarts, controller_failure_limit=STARTS),
        ),
    )
    result: Any = trainer.fit()
    return dict(result.return_value)
