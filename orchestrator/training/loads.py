"""The loads of a step, each announced to the task before it is asked for, with those that come after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic

from orchestrator.training.task import BatchT, Request, Task


class Loads(Generic[BatchT]):
    """What this worker loads from one step on.

    Args:
        task: the recipe.
        coming: all of them, in order, further than the step itself as far as the task looks ahead.
        then: announces so many loads of what follows.
    """

    def __init__(self, task: Task[BatchT], coming: Sequence[Request], then: Callable[[int], None]) -> None:
        self._task, self._coming, self._then = task, deque(coming), then

    def next(self) -> BatchT:
        """The next batch, on the CPU."""
        ahead = list(islice(self._coming, self._task.look_ahead))
        self._task.expect(ahead)
        if (room := self._task.look_ahead - len(ahead)) > 0:
            self._then(room)
        return self._task.load(self._coming.popleft())
