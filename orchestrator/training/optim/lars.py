"""LARS: each tensor's rate follows from the norms of its weights and of its gradient."""

from __future__ import annotations

import torch
from torch import nn

from orchestrator.training.optim.arithmetic import Tensors, decayed, factors, laid_like
from orchestrator.training.optim.groups import ParameterGroup, parameter_groups
from orchestrator.training.optim.protocol import Named, SquaredNorms
from orchestrator.training.optim.settings import LARSConfig
from orchestrator.training.optim.sgd import VELOCITY, kept_velocity


class LARS:
    """You et al., arXiv 1708.03888, algorithm 1; see `LARSConfig`.

    v = m v + rate lambda (g + beta w); w = w - v; lambda = eta |w| / (|g| + beta |w|), or 1 where a norm is 0.

    Args:
        model: whose trainable parameters are optimised.
        config: its settings.
    """

    def __init__(self, model: nn.Module, config: LARSConfig) -> None:
        self._config = config
        self._groups = parameter_groups(
            model, weight_decay=config.weight_decay, undecayed=config.undecayed, layer_decay=config.layer_decay
        )

    def fresh(self, parameters: Named) -> dict[str, torch.Tensor]:
        """Velocities of zero."""
        return {VELOCITY + name: torch.zeros_like(parameter) for name, parameter in parameters.items()}

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
        """See `Optimizer.update`; the operations round once in any case."""
        kept = self._config.momentum
        if self._config.momentum_correction:
            kept = kept_velocity(kept, rate, previous_rate)
        for group in self._groups:
            mine = [parameters[name] for name in group.names]
            slopes = laid_like([gradients[name] for name in group.names], mine)
            velocities = [state[VELOCITY + name] for name in group.names]
            pushes = decayed(slopes, mine, group.weight_decay)
            torch._foreach_mul_(velocities, kept)
            torch._foreach_add_(velocities, self._scaled(group, mine, slopes, pushes, norms, rate * group.rate_scale))
            torch._foreach_sub_(mine, velocities)

    def _scaled(
        self, group: ParameterGroup, mine: Tensors, slopes: Tensors, pushes: Tensors, norms: SquaredNorms, rate: float
    ) -> Tensors:
        """The pushes times their rates, as new tensors."""
        if not (group.decays or self._config.adapt_undecayed):
            return list(torch._foreach_mul(pushes, rate))
        weights, slope = (norms(dict(zip(group.names, each, strict=True))).sqrt() for each in (mine, slopes))
        adapted = self._config.trust * weights / (slope + group.weight_decay * weights)
        known = (weights > 0) & (slope > 0)
        rates = factors(rate * torch.where(known, adapted, torch.ones_like(adapted)), mine[0])
        return [push * factor for push, factor in zip(pushes, rates, strict=True)]
