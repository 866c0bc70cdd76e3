"""What a simulated run measures of itself, told as a rank tells it."""

from __future__ import annotations

from orchestrator.blueprint.features import Features
from orchestrator.rundir.events import EventWriter
from orchestrator.testing.world import World

FEATURES = Features("regnet", 2e8, 2e6, 2.7e6, 44, 3 * 16 * 16, 16, 4)
LONG = {"epochs": 60, "batch_size": 64, "samples_per_virtual_worker": 16}


def tell(world: World, job: str, **data: object) -> None:
    """The newest run of a job says what it has measured."""
    folder = world.job_directory(job).run(world.job(job).runs[-1].id)
    EventWriter(folder, "rank-0", world.record(job).token).append("measured", **data)
