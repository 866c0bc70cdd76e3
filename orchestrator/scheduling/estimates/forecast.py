"""How long a job will run and what its workers will hold, for every width; how sure that is, and where it is from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.base.text import counted
from orchestrator.blueprint.features import Training
from orchestrator.scheduling.estimates import memory, throughput
from orchestrator.scheduling.estimates.devices import is_cpu
from orchestrator.scheduling.estimates.errors import interval, shrunk_median
from orchestrator.scheduling.estimates.measurement import Measurement, on_device
from orchestrator.scheduling.estimates.throughput import Throughput
from orchestrator.scheduling.jobs import Estimate

_STARTUP, _SEARCH_STARTUP = 8.0, 20.0  # seconds, until something was measured
_EPOCH_END = 0.15
_STARTUP_ERROR = 0.5
_LEAST_ERROR = 0.05
_LIMIT_QUANTILE = 2.3263478740408408  # 99 of 100 runs end before it
_LEAST_LIMIT, _LIMIT_STEP = 300.0, 60.0
_WIDTHS = 12


@dataclass(frozen=True, slots=True)
class Work:
    """What a job has to do, whatever the device.

    Attributes:
        kind: of the job, such as `regnet` or `regnet search`.
        trainings: one, or those of a search's trials, perhaps not all of them.
        workers_min: the fewest workers of a run.
        workers_max: the most.
        search: whether each training has one worker.
        trials: how many there are in all.
        concurrency: trials at once at most; None: one for each worker.
        budget: the share of a trial's training that the search's scheduler lets it have, on average.
    """

    kind: str
    trainings: tuple[Training, ...]
    workers_min: int = 1
    workers_max: int = 1
    search: bool = False
    trials: int = 1
    concurrency: int | None = None
    budget: float = 1.0


@dataclass(frozen=True)
class RunEstimate:
    """What is expected of a job.

    Attributes:
        seconds: the median of its run time at `workers`, without waiting.
        error: standard deviation of the logarithm of (true / estimated).
        workers: the most that it can use.
        widths: seconds with so many workers, the fewest and the most among them.
        source: what it comes from, in words.
        device: whose speed was meant; empty where only earlier run times are known.
        startup: seconds until the first step, which are in `seconds`.
        evaluation: seconds of evaluations, which are in `seconds`.
        memory: bytes of one worker; None: not known.
        memory_error: of it, as `error`.
        assumed: the exponent where the seconds of one width are all that is known.
    """

    seconds: float
    error: float
    workers: int
    widths: dict[int, float] = field(default_factory=dict)
    source: str = ""
    device: str = ""
    startup: float = 0.0
    evaluation: float = 0.0
    memory: float | None = None
    memory_error: float = 0.0
    assumed: float = 1.0

    @property
    def estimate(self) -> Estimate:
        """As the scheduler has it."""
        return Estimate(self.seconds, self.error)

    @property
    def interval(self) -> tuple[float, float]:
        """Seconds between which 8 of 10 such runs end."""
        return interval(self.seconds, self.error)

    @property
    def exponent(self) -> float:
        """Speed of k of n workers is (k / n) ** exponent, once it has started: between the fewest and the most."""
        low, high = min(self.widths, default=self.workers), max(self.widths, default=self.workers)
        if low == high:
            return self.assumed
        narrow, wide = self._started(self.widths[low]), self._started(self.widths[high])
        return min(1.0, max(0.0, math.log(narrow / wide) / math.log(high / low)))

    def at(self, workers: int) -> float:
        """Seconds with so many workers: of the nearest width that is not wider, by the exponent from there."""
        if workers in self.widths:
            return self.widths[workers]
        known = max((w for w in self.widths if w < workers), default=min(self.widths, default=self.workers))
        started = self._started(self.widths.get(known, self.seconds))
        return float(self.startup + started * (known / workers) ** self.exponent)

    def _started(self, seconds: float) -> float:
        return max(seconds - self.startup, 1e-3)


def forecast(work: Work, measurements: Sequence[Measurement], device: str) -> RunEstimate:
    """The estimate of a job on a device.

    Args:
        work: at least one training.
        measurements: of any device.
        device: as `devices.canonical` reads it.
    """
    first = work.trainings[0].features
    speed = throughput.learn(measurements, device, first.precision)
    here = on_device(measurements, device)
    startup = _startup(work, here)
    epoch_end = shrunk_median([m.epoch_seconds / m.epochs for m in here if m.epochs], _EPOCH_END)
    times = {w: startup + _seconds(work, speed, epoch_end, w) for w in _widths(work)}
    total = times[work.workers_max]
    holds = memory.learn(measurements, device)
    # The largest model of a search is what its workers must have room for.
    fewest = 1 if work.search else work.workers_min
    needs = max((holds.held(t.features, fewest) for t in work.trainings), key=lambda held: held.bytes)
    return RunEstimate(
        seconds=total,
        error=_error(_rate_error(work, speed), startup, total),
        workers=work.workers_max,
        widths=times,
        source=_source(work, speed, device),
        device=device,
        startup=startup,
        evaluation=_evaluation(work, speed, work.workers_max),
        memory=needs.bytes,
        memory_error=needs.error,
    )


def limit_of(estimate: RunEstimate, *, workers: int | None = None) -> float:
    """A time limit that 99 of 100 such runs keep: seconds, whole minutes, five of them at least.

    Args:
        estimate: of the run.
        workers: that it will have; default: the fewest that it can run with.
    """
    narrow = min(estimate.widths, default=estimate.workers) if workers is None else workers
    upper = estimate.at(narrow) * math.exp(_LIMIT_QUANTILE * estimate.error)
    return max(_LEAST_LIMIT, math.ceil(upper / _LIMIT_STEP) * _LIMIT_STEP)


def _seconds(work: Work, speed: Throughput, epoch_end: float, workers: int) -> float:
    """Of all trainings, without the start-up."""
    if not work.search:
        return sum(_training(each, speed, epoch_end, workers) for each in work.trainings)
    alone = [work.budget * _training(each, speed, epoch_end, 1) for each in work.trainings]
    at_once, mean = _at_once(work, workers), sum(alone) / len(alone)
    # What is still running when the last trial has started: half of one on average (Graham's bound is a whole one).
    tail = (1 - 1 / at_once) * mean / 2
    return max(mean * work.trials / at_once + tail, *alone)


def _at_once(work: Work, workers: int) -> int:
    """Trials."""
    return max(1, min(workers, work.concurrency or workers, work.trials))


def _training(training: Training, speed: Throughput, epoch_end: float, workers: int) -> float:
    features = training.features
    steps = training.samples * speed.rate(features).seconds * throughput.share(features, workers, speed.exponent)
    return steps + _measuring(training, speed, workers) + training.epochs * epoch_end


def _measuring(training: Training, speed: Throughput, workers: int) -> float:
    alone = training.evaluated * speed.evaluated(training.features)
    return alone * throughput.evaluated_by(workers, training.evaluated, speed.exponent)


def _evaluation(work: Work, speed: Throughput, workers: int) -> float:
    if not work.search:
        return sum(_measuring(each, speed, workers) for each in work.trainings)
    each_one = sum(_measuring(each, speed, 1) for each in work.trainings) / len(work.trainings)
    return work.budget * each_one * work.trials / _at_once(work, workers)


def _startup(work: Work, here: Sequence[Measurement]) -> float:
    usual = _SEARCH_STARTUP if work.search else _STARTUP
    return shrunk_median([m.startup for m in here if m.startup and m.kind == work.kind], usual)


def _rate_error(work: Work, speed: Throughput) -> float:
    """Of the steps of all trainings: each by its part of the time, as if all erred to the same side."""
    rates = [(each.samples * (rate := speed.rate(each.features)).seconds, rate.error) for each in work.trainings]
    total = sum(seconds for seconds, _ in rates)
    if not total:
        return max(error for _, error in rates)
    return sum(seconds * error for seconds, error in rates) / total


def _error(rate: float, startup: float, total: float) -> float:
    """Of a sum of what scales with the rate and of the start-up, which do not depend on each other."""
    computed = (total - startup) / total
    return math.hypot(rate * computed, _STARTUP_ERROR * (1 - computed), _LEAST_ERROR)


def _source(work: Work, speed: Throughput, device: str) -> str:
    same = [speed.rate(training.features).same for training in work.trainings]
    where = device.removeprefix("cpu:") if is_cpu(device) else device
    if not speed.measured:
        return f"from the recipe and the data sheet alone: nothing was measured on {where} yet"
    if len(same) == 1 and same[0]:
        return f"from {counted(same[0], 'measurement')} of this very model on {where}"
    if any(same):
        known = f"{sum(map(bool, same))} of its {len(same)} models"
        return f"from the recipe and {counted(speed.measured, 'measurement')} on {where}, of {known} among others"
    return f"from the recipe and {counted(speed.measured, 'measurement')} of other models on {where}"


def _widths(work: Work) -> list[int]:
    """The fewest, the most, and powers of two between them."""
    low, high = work.workers_min, max(work.workers_min, work.workers_max)
    between = {2**k for k in range(high.bit_length()) if low < 2**k < high}
    return sorted({low, high, *sorted(between)[-_WIDTHS:]})
