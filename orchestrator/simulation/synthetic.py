"""Made-up loads of our own workload families: what vision research asks of a cluster, hour by hour.

Widths and sizes follow the papers that the workloads are from, where these say them; shares of the families, spreads
and the rhythm of the day are ours.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.simulation.traces.trace import TraceJob
from orchestrator.simulation.truth import Ending

_HOUR, _DAY = 3_600.0, 86_400.0
_RHYTHM = 0.6
"""The rate of submissions swings by so much about its mean over a day; it is highest at 15:00."""
_LONGEST = 7 * _DAY


@dataclass(frozen=True, slots=True)
class Family:
    """Jobs of one kind.

    Attributes:
        name: also their team.
        share: of all jobs.
        widths: in GPUs, each as likely as it is often named.
        gpu_hours: median of the work, which does not depend on the width.
        spread: standard deviation of its logarithm.
        failing: the share that fails, at a random time before its end.
        killed: the share that somebody kills, likewise.
    """

    name: str
    share: float
    widths: tuple[int, ...]
    gpu_hours: float
    spread: float
    failing: float
    killed: float


FAMILIES = (
    # First tries of everything, on one GPU or a few: most jobs of every public trace.
    Family("tries", 0.45, (1, 1, 1, 1, 2, 4), 0.15, 1.6, 0.35, 0.15),
    # Mask R-CNN from pretrained weights, the 1x to 3x schedules of Detectron2: 8 GPUs for hours.
    Family("coco-finetuning", 0.20, (8, 8, 8, 4, 16), 60.0, 0.6, 0.12, 0.10),
    # ResNet-50 with batches of 256 to 8192: 29 hours on 8 GPUs, one hour on 256 (Goyal et al. 2017).
    Family("large-minibatch", 0.12, (8, 16, 32, 32, 64, 128, 256), 235.0, 0.4, 0.10, 0.10),
    # Populations of small networks trained for ten epochs (Radosavovic et al. 2020), many trials at once in one job.
    Family("regnet-sweep", 0.10, (8, 16, 32, 64), 400.0, 0.8, 0.05, 0.15),
    # Multigrid training of SlowFast on Kinetics (Wu et al. 2020): 64 to 128 GPUs for hours.
    Family("multigrid-video", 0.09, (8, 16, 32, 64, 128), 500.0, 0.5, 0.10, 0.10),
    # Weakly supervised and MAE pre-pretraining (Mahajan et al. 2018, Singh et al. 2023): the widest, for days.
    Family("pre-pretraining", 0.04, (32, 64, 64, 128, 256), 4_000.0, 0.7, 0.15, 0.15),
)


def synthetic_jobs(
    count: int, slots: int, *, load: float = 0.9, seed: int = 0, families: Sequence[Family] = FAMILIES
) -> tuple[TraceJob, ...]:
    """So many jobs.

    Arrivals are a Poisson process whose rate follows the day, given their number; its mean is such that the work
    offered is `load` times the capacity. No job is wider than half the cluster.

    Args:
        count: of jobs.
        slots: of the cluster.
        load: work that arrives, as a share of what the cluster can do.
        seed: equal seeds give equal jobs.
        families: what they are made of.
    """
    dice = random.Random(f"shapes/{seed}")
    shapes = [_shape(dice, _pick(dice, families), slots) for _ in range(count)]
    span = sum(gpus * duration for _, gpus, duration, _ in shapes) / (load * slots)
    times = sorted(_moment(random.Random(f"arrivals/{seed}/{index}"), span) for index in range(count))
    digits = len(str(max(0, count - 1)))
    return tuple(
        TraceJob(
            id=f"s{index:0{digits}}",
            submitted=round(time, 3),
            gpus=gpus,
            duration=round(duration, 3),
            team=family.name,
            ends=ends,
            estimate=_word(random.Random(f"words/{seed}/{index}"), duration),
        )
        for index, (time, (family, gpus, duration, ends)) in enumerate(zip(times, shapes, strict=True))
    )


def _pick(dice: random.Random, families: Sequence[Family]) -> Family:
    return dice.choices(families, weights=[family.share for family in families])[0]


def _shape(dice: random.Random, family: Family, slots: int) -> tuple[Family, int, float, Ending]:
    gpus = min(dice.choice(family.widths), max(1, slots // 2))
    work = family.gpu_hours * _HOUR * math.exp(dice.gauss(0.0, family.spread))
    duration = min(_LONGEST, max(10.0, work / gpus))
    fate = dice.random()
    part = dice.random()
    if fate < family.failing:
        return family, gpus, max(10.0, part * duration), "failed"
    if fate < family.failing + family.killed:
        return family, gpus, max(10.0, part * duration), "killed"
    return family, gpus, duration, "completed"


def _moment(dice: random.Random, span: float) -> float:
    """One time, as likely as the rate is high then."""
    while True:
        time = dice.random() * span
        rate = 1 + _RHYTHM * math.cos(2 * math.pi * (time / _DAY - 15 / 24))
        if dice.random() * (1 + _RHYTHM) < rate:
            return time


def _word(dice: random.Random, duration: float) -> float:
    """What a user would say: one to five times the truth, in whole hours or, below one, in ten minutes."""
    said = duration * math.exp(dice.uniform(0.0, math.log(5.0)))
    step = _HOUR if said > _HOUR else 600.0
    return math.ceil(said / step) * step
