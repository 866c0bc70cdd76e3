"""The same launch by Ray alone, as a job: `plain_launch.py FOLDER WORKERS CPUS`.

It takes a placement group with a bundle of so many CPUs on each of so many nodes, and runs `first_step` in each.
"""

from __future__ import annotations

import sys

from first_step import first_step, leave


def main(folder: str, workers: int, cpus: int) -> None:
    """All of it, with the moments of the driver in the same folder."""
    leave(folder, "driver up")
    import ray
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    ray.init(address="auto")
    leave(folder, "in Ray")
    group = placement_group([{"CPU": cpus}] * workers, strategy="STRICT_SPREAD")
    ray.get(group.ready())
    leave(folder, "places there")
    work = ray.remote(first_step)
    seats = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=n) for n in range(workers)]
    ray.get(
        [
            work.options(num_cpus=cpus, scheduling_strategy=seat).remote(folder, number)
            for number, seat in enumerate(seats)
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
