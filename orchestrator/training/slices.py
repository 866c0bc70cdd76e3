"""Pure: how a global batch is cut into V slices (virtual workers), and how W workers share them.

Nothing a slice computes depends on W; only who computes it does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Slice:
    """One virtual worker's part of a global batch: places `start` to `stop` of the batch."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class SlicePlan:
    """The V slices of a workload's global batch.

    Args:
        batch_size: samples of a whole global batch.
        slice_samples: samples of a whole slice; the last slice is shorter where it does not divide the batch.
    """

    batch_size: int
    slice_samples: int

    @property
    def count(self) -> int:
        """V: how many slices a global batch has."""
        return -(-self.batch_size // self.slice_samples)

    def slices(self, samples: int) -> tuple[Slice, ...]:
        """The V slices of a batch of `samples`; in an epoch's short last batch the later ones are short or empty."""
        assert 0 < samples <= self.batch_size
        bounds = [min(samples, index * self.slice_samples) for index in range(self.count)] + [samples]
        return tuple(Slice(index, bounds[index], bounds[index + 1]) for index in range(self.count))


def share(count: int, worker: int, workers: int) -> range:
    """The items of one worker: contiguous, in order, and differing by at most one between workers.

    Raises:
        ValueError: the worker is not one of the workers.
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} is none of {workers}")
    least, more = divmod(count, workers)
    start = worker * least + min(worker, more)
    return range(start, start + least + (worker < more))


def passes(count: int, worker: int, workers: int) -> tuple[int | None, ...]:
    """What a worker runs in one step, pass by pass: a slice's index, or None for a ghost pass.

    Every worker has ceil(V / W) passes, so that collectives inside a pass match for any W; a ghost pass is outside the
    sum and the statistics. With replicated parameters a pass holds no collective, and a ghost computes nothing.
    """
    mine: tuple[int | None, ...] = tuple(share(count, worker, workers))
    return mine + (None,) * (-(-count // workers) - len(mine))
