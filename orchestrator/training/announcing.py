"""Which loads come next, across the ends of epochs: told to the task, so that its loaders go on meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.training.batching import Batching
from orchestrator.training.config import TrainConfig
from orchestrator.training.evaluation import Evaluator, Partial
from orchestrator.training.state import Position
from orchestrator.training.step import Stepper, StepPlace
from orchestrator.training.task import BatchT, Task


class Announcing:
    """Knows the order of steps and evaluations, on one worker of one group.

    Args:
        task: the recipe.
        config: of the training.
        batching: its steps.
        stepper: of this group.
        evaluator: of this group.
    """

    def __init__(
        self, task: Task[BatchT], config: TrainConfig, batching: Batching, stepper: Stepper, evaluator: Evaluator
    ) -> None:
        self._task, self._config, self._batching = task, config, batching
        self._stepper, self._evaluator = stepper, evaluator

    def places(self, position: Position) -> Sequence[StepPlace]:
        """The next step and those after it in its epoch, as far as the task looks ahead."""
        stop = min(position.step + self._task.look_ahead, self._batching.steps(position.epoch))
        return [self._place(position, step) for step in range(position.step, stop)]

    def evaluates(self, epoch: int) -> bool:
        """Whether an epoch, from 0, ends with an evaluation."""
        if not self._task.measures or not self._task.samples("validation"):
            return False
        return epoch + 1 == self._config.epochs or (epoch + 1) % self._config.evaluate_every == 0

    def after_epoch(self, position: Position, room: int) -> None:
        """Announce so many loads of what follows the last step of an epoch."""
        if self.evaluates(position.epoch):
            if requests := self._evaluator.requests(Partial("validation"), room):
                self._task.expect(requests)
        else:
            self.after_evaluation(position, room)

    def after_evaluation(self, position: Position, room: int) -> None:
        """Announce so many loads of the epoch that comes next."""
        epoch = position.epoch + 1
        if epoch < self._config.epochs:
            coming = Position(epoch=epoch)
            steps = range(min(room, self._batching.steps(epoch)))
            requests = [r for step in steps for r in self._stepper.requests(self._place(coming, step))]
            self._task.expect(requests[:room])

    def _place(self, position: Position, step: int) -> StepPlace:
        number = position.steps + step - position.step
        return StepPlace(number, position.epoch, step, self._batching.step(position.epoch, step))
