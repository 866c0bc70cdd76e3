"""SGD with momentum and Nesterov's momentum, in the three forms of a velocity."""

from __future__ import annotations

import torch
from torch import nn

from orchestrator.training.optim.arithmetic import Tensors, decayed, laid_like, lie_alike
from orchestrator.training.optim.groups import ParameterGroup, parameter_groups
from orchestrator.training.optim.protocol import Named, SquaredNorms
from orchestrator.training.optim.settings import SGDConfig

VELOCITY = "optimizer/velocity/"


def kept_velocity(momentum: float, rate: float, previous_rate: float | None) -> float:
    """What a velocity that holds rates is multiplied with: momentum rate / previous rate.

    Source: Goyal et al., arXiv 1706.02677, section 3, the remark after equation 10. After a rate of 0 the velocity has
    nothing of that step, and cannot be scaled.
    """
    return momentum * (rate / previous_rate) if previous_rate else momentum


class SGD:
    """See `SGDConfig`.

    Whole tensors take the kernel of `torch.optim.SGD(fused=True)`. Its class is not used: the first optimizer of
    torch.optim in a process imports torch.compile, 3.5 s of CPU time, half of a small trial.

    Args:
        model: whose trainable parameters are optimised.
        config: its settings.
    """

    def __init__(self, model: nn.Module, config: SGDConfig) -> None:
        self._config = config
        self._groups = parameter_groups(
            model, weight_decay=config.weight_decay, undecayed=config.undecayed, layer_decay=config.layer_decay
        )

    def fresh(self, parameters: Named) -> dict[str, torch.Tensor]:
        """Velocities of zero, where there is momentum."""
        moving = parameters if self._config.momentum else {}
        return {VELOCITY + name: torch.zeros_like(parameter) for name, parameter in moving.items()}

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
        """See `Optimizer.update`. Nesterov's form as in torch (Sutskever et al., ICML 2013, rewritten)."""
        config = self._config
        for group in self._groups:
            mine = [parameters[name] for name in group.names]
            slopes = laid_like([gradients[name] for name in group.names], mine)
            velocities = [state[VELOCITY + name] for name in group.names] if config.momentum else []
            scaled = rate * group.rate_scale
            if config.velocity == "plain" and not once:
                self._fused(mine, slopes, velocities, group, scaled)
            elif config.velocity == "plain":
                self._by_steps(mine, decayed(slopes, mine, group.weight_decay), velocities, config.momentum, scaled)
            else:
                kept = config.momentum
                if config.velocity == "corrected":
                    kept = kept_velocity(kept, rate, previous_rate)
                pushes = list(torch._foreach_mul(decayed(slopes, mine, group.weight_decay), scaled))
                self._by_steps(mine, pushes, velocities, kept, 1.0)

    def _fused(self, mine: Tensors, slopes: Tensors, velocities: Tensors, group: ParameterGroup, rate: float) -> None:
        assert not velocities or lie_alike(mine, velocities), "the state lies in memory as the parameters do"
        torch._fused_sgd_(
            mine,
            slopes,
            velocities,
            weight_decay=group.weight_decay,
            momentum=self._config.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self._config.nesterov and self._config.momentum > 0,
            maximize=False,
            is_first_step=False,  # velocities start at zero, which comes to the same
        )

    def _by_steps(self, mine: Tensors, pushes: Tensors, velocities: Tensors, kept: float, rate: float) -> None:
        """Make v = kept v + push, and p = p - rate v, or p - rate (push + momentum v)."""
        moves = pushes
        if velocities:
            torch._foreach_mul_(velocities, kept)
            torch._foreach_add_(velocities, pushes)
            moves = velocities
            if self._config.nesterov:
                moves = list(torch._foreach_mul(velocities, self._config.momentum))
                torch._foreach_add_(moves, pushes)
        torch._foreach_sub_(mine, moves if rate == 1 else torch._foreach_mul(moves, rate))
