"""A worker with a fault: where it leads others, its copy of the gradient of one step is a little off."""

from __future__ import annotations

from typing import Any

from orchestrator.recipes.main import end, main
from orchestrator.training.step import Stepper
from orchestrator.verification.rank import in_storm

STEP = 3
_step = Stepper.step


def _faulty(self: Stepper, place: Any, **keywords: Any) -> Any:
    result = _step(self, place, **keywords)
    if place.number == STEP and self._group.size > 1 and self._group.rank == 0:
        self._layout.gradients()["head.2.bias"].add_(1e-6)
    return result


if __name__ == "__main__":
    Stepper.step = _faulty  # type: ignore[method-assign]
    end(main(in_storm))
