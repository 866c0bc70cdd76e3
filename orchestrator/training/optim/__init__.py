"""Optimizers as functions over tensors by name: the engine holds parameters and state, replicated or in shards."""

from orchestrator.training.optim.build import build_optimizer
from orchestrator.training.optim.protocol import Optimizer, SquaredNorms
from orchestrator.training.optim.settings import (
    AdamWConfig,
    LARSConfig,
    OptimizerConfig,
    Schedule,
    SGDConfig,
    Undecayed,
    VelocityForm,
)

__all__ = [
    "AdamWConfig",
    "LARSConfig",
    "Optimizer",
    "OptimizerConfig",
    "SGDConfig",
    "Schedule",
    "SquaredNorms",
    "Undecayed",
    "VelocityForm",
    "build_optimizer",
]
