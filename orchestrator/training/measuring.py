"""How fast a training is: seconds of its steady steps, of evaluations, of the ends of epochs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Literal

import torch

from orchestrator.base.hardware import cpu_name

WARM_UP = 3
"""Steps of each view that do not count: kernels are chosen, memory is taken, loaders begin."""

_EVERY = 30.0
_FIRST = 5.0

Unit = Literal["step", "evaluation", "epoch"]


class Measuring:
    """What is spent between the ends of units, in one view of workers.

    Args:
        device: where this worker computes.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, device: torch.device, *, now: Callable[[], float] = time.monotonic) -> None:
        self._device, self._now = device, now
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._due = now() + _FIRST
        self.enters(1)

    def enters(self, workers: int) -> None:
        """A view begins: what was measured before was another world."""
        self._workers, self._units = workers, 0
        self._last: float | None = None
        self._seconds: dict[Unit, float] = {"step": 0.0, "evaluation": 0.0, "epoch": 0.0}
        self._under_way = 0.0
        self._samples = self._evaluated = self._steps = self._epochs = 0

    def interrupted(self) -> None:
        """What was under way is no measure: the next unit begins anew."""
        self._last = None

    def stepped(self, samples: int) -> None:
        """A step of so many samples has ended."""
        self._units += 1
        spent = self._spent()
        if spent is not None and self._units > WARM_UP:
            self._seconds["step"] += spent
            self._samples, self._steps = self._samples + samples, self._steps + 1

    def round_ended(self) -> None:
        """A round of an evaluation has ended."""
        self._under_way += self._spent() or 0.0

    def evaluation_ended(self, samples: int) -> None:
        """The rounds since the last call have evaluated so many samples."""
        self._seconds["evaluation"] += self._under_way
        self._evaluated, self._under_way = self._evaluated + samples, 0.0

    def epoch_ended(self) -> None:
        """What is done at the end of an epoch is done, but for its evaluation."""
        spent = self._spent()
        if spent is not None:
            self._seconds["epoch"] += spent
            self._epochs += 1

    def _spent(self) -> float | None:
        """Seconds since the end of the last unit; None where there was none."""
        last, self._last = self._last, self._now()
        return None if last is None else self._last - last

    @property
    def due(self) -> bool:
        """Whether it is time to tell, and there is something to tell."""
        return self._steps > 0 and self._now() >= self._due

    def document(self) -> dict[str, float | int | str]:
        """As the event `measured` has it; empty where nothing is known yet."""
        if not self._steps:
            return {}
        self._due = self._now() + _EVERY
        return {
            "workers": self._workers,
            "device": device_name(self._device),
            "steps": self._steps,
            "samples": self._samples,
            "seconds": round(self._seconds["step"], 4),
            "evaluated": self._evaluated,
            "evaluation_seconds": round(self._seconds["evaluation"], 4),
            "epochs": self._epochs,
            "epoch_seconds": round(self._seconds["epoch"], 4),
            "memory": peak_memory(self._device),
        }


def device_name(device: torch.device) -> str:
    """Of a GPU as its driver names it, `cpu:<model>` of a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def peak_memory(device: torch.device) -> int:
    """Most bytes that tensors took on the GPU, or that this process held on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
