"""Where one allocation is in Slurm, by a look that begins now where the newest one does not tell."""

from __future__ import annotations

from orchestrator.backends.slurm.watch import Sight, Watch
from orchestrator.base.clock import Clock

_LANDS_WITHIN = 5.0
"""Seconds after which Slurm shows what an sbatch that is over had asked for."""


def left_behind(watch: Watch, clock: Clock, allocation: str) -> Sight | None:
    """What an sbatch without an answer left in Slurm; looked for twice, as its message may still be under way.

    Raises:
        BackendUnavailable: Slurm does not tell.
    """
    watch.fresh()
    sight = watch.sight(allocation)
    if sight is None or sight.over:
        clock.sleep(_LANDS_WITHIN)
        watch.fresh()
        sight = watch.sight(allocation)
    return sight


def waiting(watch: Watch, allocation: str) -> Sight | None:
    """Its job, where that waits in Slurm: numbers come round, so none is changed without its name beside it.

    Raises:
        BackendUnavailable: Slurm does not tell.
    """
    sight = watch.sight(allocation)
    if sight is None:
        watch.fresh()
        sight = watch.sight(allocation)
    return sight if sight is not None and sight.pending else None
