"""How parameters are updated: the part of the plan, and its line."""

from __future__ import annotations

from orchestrator.planning.document import OptimizerPlan
from orchestrator.spec.optim import Optim

_USUAL_VELOCITY = {"sgd": "plain", "lars": "absorbed"}


def optimizer_plan(optim: Optim) -> OptimizerPlan:
    """Of the section `optim`; what the optimizer does not have is None."""
    velocity = _USUAL_VELOCITY.get(optim.optimizer) if optim.momentum else None
    return OptimizerPlan(
        name=optim.optimizer,
        momentum=optim.momentum if optim.optimizer in _USUAL_VELOCITY else None,
        nesterov=optim.optimizer == "sgd" and bool(optim.momentum) and optim.nesterov,
        velocity=velocity and (optim.velocity or velocity),
        betas=list(optim.betas) if optim.optimizer == "adamw" else None,
        weight_decay=optim.weight_decay,
        undecayed=optim.undecayed,
        layer_decay=optim.layer_decay,
    )


def optimizer_line(plan: OptimizerPlan) -> str:
    """`sgd, momentum 0.9 (nesterov), velocity plain, weight decay 5e-05 but for norms and biases, no layer decay`."""
    parts = [plan.name]
    if plan.momentum is not None:
        parts.append(f"momentum {plan.momentum:g}{' (nesterov)' if plan.nesterov else ''}")
    if plan.velocity is not None:
        parts.append(f"velocity {plan.velocity}")
    if plan.betas is not None:
        parts.append(f"betas {' '.join(f'{beta:g}' for beta in plan.betas)}")
    spared = "" if plan.undecayed == "nothing" else f" but for {plan.undecayed.replace('_', ' ')}"
    parts.append(f"weight decay {plan.weight_decay:g}{spared}" if plan.weight_decay else "no weight decay")
    parts.append("no layer decay" if plan.layer_decay == 1 else f"layer decay {plan.layer_decay:g}")
    return ", ".join(parts)
