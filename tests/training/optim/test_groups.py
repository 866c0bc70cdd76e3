"""Which parameters decay, and how rates fall from layer to layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.training.optim import AdamWConfig, LARSConfig, SGDConfig, build_optimizer
from orchestrator.training.optim.groups import decays, layer_scales, parameter_groups


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2)
        self.mlp = nn.Linear(2, 2)


class Transformer(nn.Module):
    """With the names of MAE's vision transformers."""

    undecayed_parameters = ("pos_embed",)

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 2))
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 2), requires_grad=False)
        self.patch_embed = nn.Conv2d(1, 2, 2)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm = nn.LayerNorm(2)
        self.head = nn.Linear(2, 3)


def convolutional() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.InstanceNorm2d(2, affine=True))


def test_norm_parameters_and_biases_do_not_decay() -> None:
    found = decays(nn.Sequential(convolutional(), nn.Linear(2, 3)))
    assert {name for name, decaying in found.items() if decaying} == {"0.0.weight", "1.weight"}
    assert len(found) == 7


def test_vectors_do_not_decay_where_that_is_the_rule() -> None:
    found = decays(Transformer(), "vectors")
    assert {name for name, decaying in found.items() if not decaying} == {
        "patch_embed.bias",
        "norm.weight",
        "norm.bias",
        "head.bias",
        *(f"blocks.{i}.{part}" for i in (0, 1) for part in ("norm.weight", "norm.bias", "mlp.bias")),
    }


def test_what_a_model_names_never_decays() -> None:
    model = Transformer()
    model.pos_embed.requires_grad_(True)
    found = decays(model, "nothing")
    assert {name for name, decaying in found.items() if not decaying} == {"pos_embed"}


def test_frozen_parameters_are_in_no_group() -> None:
    groups = parameter_groups(Transformer(), weight_decay=0.1, undecayed="vectors", layer_decay=1.0)
    names = [name for group in groups for name in group.names]
    assert "pos_embed" not in names
    assert sorted(names) == sorted(decays(Transformer()))


def test_rates_fall_from_layer_to_layer_as_in_mae() -> None:
    scales = layer_scales(Transformer(), 0.5)
    assert scales["cls_token"] == scales["patch_embed.weight"] == 0.125
    assert scales["blocks.0.mlp.weight"] == 0.25
    assert scales["blocks.1.norm.bias"] == 0.5
    assert scales["norm.weight"] == scales["head.weight"] == 1.0


def test_layer_decay_scales_decay_and_rate_of_each_group() -> None:
    groups = parameter_groups(Transformer(), weight_decay=0.3, undecayed="vectors", layer_decay=0.5)
    assert {(group.rate_scale, group.weight_decay) for group in groups} == {
        (scale, decay) for scale in (0.125, 0.25, 0.5, 1.0) for decay in (0.0, 0.3)
    }


def test_layer_decay_needs_known_layers() -> None:
    with pytest.raises(UsageError, match="blocks"):
        layer_scales(convolutional(), 0.9)


@pytest.mark.parametrize("config", [SGDConfig(), LARSConfig(), AdamWConfig()])
def test_a_state_is_named_after_slot_and_parameter(config: SGDConfig | LARSConfig | AdamWConfig) -> None:
    model = nn.Linear(2, 3)
    parameters = dict(model.named_parameters())
    state = build_optimizer(config, model).fresh(parameters)
    for key, tensor in state.items():
        kind, _, name = key.split("/")
        assert kind == "optimizer"
        assert tensor.shape == parameters[name].shape
    assert {key.rpartition("/")[2] for key in state} == {"weight", "bias"}


@pytest.mark.parametrize(
    ("kind", "values", "what"),
    [
        (SGDConfig, {"momentum": 1.0}, "momentum"),
        (LARSConfig, {"trust": 0.0}, "trust"),
        (AdamWConfig, {"betas": (0.9, 1.0)}, "beta2"),
        (AdamWConfig, {"layer_decay": 0.0}, "layer decay"),
        (SGDConfig, {"weight_decay": -1.0}, "weight decay"),
    ],
)
def test_settings_out_of_range_are_refused(kind: type, values: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        kind(**values)
