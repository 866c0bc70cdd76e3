"""Trainings whose checkpoints take a while to be written, or whose last one costs a worker; patched in workers only."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from torch import nn
from toy_training import ToyTask

from orchestrator.training.checkpoint import saving

_write_part = saving._Work._write_part


class Unwritable:
    """A place on a disk that is away."""

    def __getattr__(self, name: str) -> Any:
        raise OSError(errno.EIO, "the disk is away")


@dataclass(frozen=True)
class SlowlyKept(ToyTask):
    """Each part of a checkpoint takes so many seconds.

    Attributes:
        seconds: per part.
        deadly: the second worker dies when it writes the checkpoint after so many samples.
        broken: nobody's place can be written any more from the checkpoint after so many samples on.
    """

    seconds: float = 0.0
    deadly: int = -1
    broken: int = 1_000_000

    def build_model(self) -> nn.Module:
        task = self

        def write(work: Any) -> dict[str, Any]:
            time.sleep(task.seconds)
            if work._order.rank == 1 and work._order.head.samples == task.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            if work._order.head.samples >= task.broken:
                work._place = Unwritable()
            return _write_part(work)

        saving._Work._write_part = write  # type: ignore[assignment]
        return super().build_model()
