"""From settings and a model to its optimizer."""

from __future__ import annotations

from torch import nn

from orchestrator.training.optim.adamw import AdamW
from orchestrator.training.optim.lars import LARS
from orchestrator.training.optim.protocol import Optimizer
from orchestrator.training.optim.settings import LARSConfig, OptimizerConfig, SGDConfig
from orchestrator.training.optim.sgd import SGD


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> Optimizer:
    """The optimizer of a model's trainable parameters; only names, kinds and dimensions are read.

    Raises:
        UsageError: rates are to fall from layer to layer, and the model's layers are not known.
    """
    if isinstance(config, SGDConfig):
        return SGD(model, config)
    return LARS(model, config) if isinstance(config, LARSConfig) else AdamW(model, config)
