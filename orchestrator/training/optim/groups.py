"""Which parameters of a model decay, and how their rates are scaled: rules over the names and kinds of its modules.

A model may have an attribute `undecayed_parameters`, a collection of names that never decay (position embeddings).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from orchestrator.base.errors import UsageError
from orchestrator.training.optim.settings import Undecayed

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_BLOCK = re.compile(r"(?:.*\.)?(?:blocks\.\d+|encoder_layer_\d+|(?:stage|layer)\d+\.\d+)\.")
"""Blocks as vision transformers, torchvision's ones, AnyNet and torchvision's ResNet name them."""
_SHARED_BIAS = "rel_pos_bias."


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are updated alike.

    Attributes:
        names: in the model's order.
        weight_decay: theirs.
        rate_scale: what the schedule's rate is multiplied with.
        decays: whether they are of those that decay.
    """

    names: tuple[str, ...]
    weight_decay: float
    rate_scale: float
    decays: bool


def parameter_groups(
    model: nn.Module, *, weight_decay: float, undecayed: Undecayed, layer_decay: float
) -> tuple[ParameterGroup, ...]:
    """The trainable parameters of a model, in groups.

    Raises:
        UsageError: rates are to fall from layer to layer, and the model's layers are not known.
    """
    decaying = decays(model, undecayed)
    scales = layer_scales(model, layer_decay) if layer_decay != 1 else dict.fromkeys(decaying, 1.0)
    kinds = dict.fromkeys((scales[name], decaying[name]) for name in decaying)
    return tuple(
        ParameterGroup(
            tuple(name for name in decaying if (scales[name], decaying[name]) == (scale, decay)),
            weight_decay if decay else 0.0,
            scale,
            decay,
        )
        for scale, decay in kinds
    )


def decays(model: nn.Module, undecayed: Undecayed = "norms_and_biases") -> dict[str, bool]:
    """For each trainable parameter, by name, whether it decays.

    Args:
        model: with its own `undecayed_parameters`, where it has any.
        undecayed: `norms_and_biases`: of norm layers, and biases (Goyal et al., arXiv 1706.02677, section 5.1; pycls).
            `vectors`: all of one dimension or less (BEiT, MAE, DeiT). `nothing`: everything decays but the model's own.
    """
    own: Collection[str] = getattr(model, "undecayed_parameters", ())
    spared = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if (undecayed == "vectors" and parameter.ndim <= 1)
        or (undecayed == "norms_and_biases" and (isinstance(module, _NORMS) or name == "bias"))
    }
    return {name: id(p) not in spared and name not in own for name, p in model.named_parameters() if p.requires_grad}


def layer_scales(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """For each trainable parameter layer_decay ^ (L + 1 - l).

    The layer l is 0 before the first of L blocks, and L + 1 after the last one.

    Source: Bao et al., BEiT, arXiv 2106.08254 (`LayerDecayValueAssigner`), and MAE (`lr_decay.py`), with the blocks in
    the model's own order; BEiT's shared `rel_pos_bias` counts with the last block.

    Raises:
        UsageError: the model has no blocks that are named like those of known families.
    """
    layers: dict[str, int] = {}
    blocks: list[str] = []
    for name, _ in model.named_parameters():
        found = _BLOCK.match(name)
        if found and found.group() not in blocks:
            blocks.append(found.group())
        layers[name] = len(blocks) if found or not blocks else len(blocks) + 1
    if not blocks:
        raise UsageError(
            f"layer_decay needs a model with blocks, and {type(model).__name__} has none that are named so",
            hint="leave layer_decay out, or name the blocks blocks.0, blocks.1, …",
        )
    depth = len(blocks)
    layers.update({name: depth for name in layers if _SHARED_BIAS in name})
    return {name: layer_decay ** (depth + 1 - layers[name]) for name, p in model.named_parameters() if p.requires_grad}
