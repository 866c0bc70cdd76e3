"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

import math

import torch
from torch import nn

from orchestrator.training.optim.arithmetic import Tensors, laid_like, lie_alike
from orchestrator.training.optim.groups import ParameterGroup, parameter_groups
from orchestrator.training.optim.protocol import Named, SquaredNorms
from orchestrator.training.optim.settings import AdamWConfig

MEAN = "optimizer/mean/"
SQUARE = "optimizer/square/"


class AdamW:
    """Loshchilov and Hutter, arXiv 1711.05101, algorithm 2 with bias correction, as torch has it; see `AdamWConfig`.

    Args:
        model: whose trainable parameters are optimised.
        config: its settings.
    """

    def __init__(self, model: nn.Module, config: AdamWConfig) -> None:
        self._config = config
        self._groups = parameter_groups(
            model, weight_decay=config.weight_decay, undecayed=config.undecayed, layer_decay=config.layer_decay
        )

    def fresh(self, parameters: Named) -> dict[str, torch.Tensor]:
        """Moments of zero."""
        return {
            slot + name: torch.zeros_like(parameter)
            for slot in (MEAN, SQUARE)
            for name, parameter in parameters.items()
        }

    @torch.no_grad()
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
        """See `Optimizer.update`."""
        for group in self._groups:
            mine = [parameters[name] for name in group.names]
            slopes = laid_like([gradients[name] for name in group.names], mine)
            means, squares = ([state[slot + name] for name in group.names] for slot in (MEAN, SQUARE))
            change = self._by_steps if once else self._fused
            change(mine, slopes, means, squares, group, rate * group.rate_scale, updates + 1)

    def _fused(
        self,
        mine: Tensors,
        slopes: Tensors,
        means: Tensors,
        squares: Tensors,
        group: ParameterGroup,
        rate: float,
        step: int,
    ) -> None:
        assert lie_alike(mine * 2, means + squares), "the state lies in memory as the parameters do"
        steps = [torch.tensor(float(step), device=mine[0].device)] * len(mine)
        torch._fused_adamw_(
            mine,
            slopes,
            means,
            squares,
            [],
            steps,
            lr=rate,
            beta1=self._config.betas[0],
            beta2=self._config.betas[1],
            weight_decay=group.weight_decay,
            eps=self._config.epsilon,
            amsgrad=False,
            maximize=False,
        )

    def _by_steps(
        self,
        mine: Tensors,
        slopes: Tensors,
        means: Tensors,
        squares: Tensors,
        group: ParameterGroup,
        rate: float,
        step: int,
    ) -> None:
        first, second = self._config.betas
        torch._foreach_mul_(mine, 1 - rate * group.weight_decay)
        _average(means, slopes, first)
        _average(squares, list(torch._foreach_mul(slopes, slopes)), second)
        roots = list(torch._foreach_sqrt(squares))
        torch._foreach_div_(roots, math.sqrt(1 - second**step))
        torch._foreach_add_(roots, self._config.epsilon)
        moves = list(torch._foreach_div(means, roots))
        torch._foreach_mul_(moves, rate / (1 - first**step))
        torch._foreach_sub_(mine, moves)


def _average(averages: Tensors, values: Tensors, kept: float) -> None:
    """Make a = kept a + (1 - kept) v."""
    torch._foreach_mul_(averages, kept)
    torch._foreach_add_(averages, torch._foreach_mul(values, 1 - kept))
