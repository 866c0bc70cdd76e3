"""What the engine asks of an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch

Named = Mapping[str, torch.Tensor]
SquaredNorms = Callable[[Named], torch.Tensor]
"""Of each of some tensors by parameter name the sum of squares over all workers, (n,) float64; `Layout.squared_norms`.

Where parameters are sharded it is a collective: all workers call it with the same names in the same order.
"""


class Optimizer(Protocol):
    """A function from parameters, gradients and state to new ones. It holds no tensor.

    All tensors are float32 and lie where their parameter lies, whole or as this worker's shard of it (which may be
    empty); the state's keys are `optimizer/<slot>/<parameter>`.
    """

    def fresh(self, parameters: Named) -> dict[str, torch.Tensor]:
        """The state before the first update."""
        ...

    def update(
        self,
        parameters: Named,
        gradients: Named,
        state: Named,
        *,
        rate: float,
        previous_rate: float | None,
        updates: int,
        norms: SquaredNorms,
        once: bool,
    ) -> None:
        """Change `parameters` and `state` in place; `gradients` may be changed too.

        Args:
            parameters: every parameter that the optimizer was built for, or this worker's shard of it.
            gradients: the mean gradient of each.
            state: what `fresh` made; other keys are left alone.
            rate: of this update.
            previous_rate: of the update before; None before the first one.
            updates: that were made before this one.
            norms: sums of squares over all workers.
            once: use only operations that round once, so that an element's bits do not depend on where in its tensor it
                lies; needed for shards on a CPU, whose vectors and tails round differently in fused kernels.
        """
        ...
