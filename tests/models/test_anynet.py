"""AnyNet modules: what they cost, what they compute, how they start."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from orchestrator.blueprint.complexity import complexity
from orchestrator.blueprint.regnet import PRESETS, AnyNetDesign, RegNetParameters, StemKind, preset
from orchestrator.models.anynet import BottleneckBlock, build_anynet
from orchestrator.models.counting import measure


def small(stem: StemKind = "cifar", se_ratio: float = 0.25) -> AnyNetDesign:
    return RegNetParameters(6, 16, 12.0, 2.0, 8, se_ratio=se_ratio, stem=stem, stem_width=16).design()


@pytest.mark.parametrize("name", PRESETS)
def test_a_published_model_as_built_costs_what_the_closed_form_says(name: str) -> None:
    design = preset(name).design()
    with torch.device("meta"):
        model = build_anynet(design)
    assert measure(model, (3, 224, 224)) == complexity(design)


@settings(max_examples=40, deadline=None)
@given(
    parameters=st.builds(
        RegNetParameters,
        depth=st.integers(1, 8),
        w0=st.integers(1, 6).map(lambda n: 8 * n),
        wa=st.floats(0, 40),
        wm=st.floats(1.2, 3.5),
        group_width=st.integers(1, 40),
        bottleneck_ratio=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
        se_ratio=st.sampled_from([0.0, 0.03, 0.25, 1.0]),
        stem_width=st.integers(1, 40),
        stem=st.sampled_from(["imagenet", "cifar"]),
    ),
    size=st.integers(1, 40),
    channels=st.integers(1, 4),
    classes=st.integers(1, 12),
)
def test_any_design_as_built_costs_what_the_closed_form_says(
    parameters: RegNetParameters, size: int, channels: int, classes: int
) -> None:
    design = parameters.design()
    with torch.device("meta"):
        model = build_anynet(design, in_channels=channels, num_classes=classes)
    expected = complexity(design, image_size=size, in_channels=channels, num_classes=classes)
    assert measure(model, (channels, size, size)) == expected


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_logits_have_one_number_for_each_class(stem: StemKind) -> None:
    model = build_anynet(small(stem), in_channels=1, num_classes=10)
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


def test_the_cifar_stem_keeps_the_resolution_and_the_imagenet_stem_halves_it() -> None:
    images = torch.zeros(1, 3, 32, 32)
    sides = {kind: build_anynet(small(kind)).stem(images).shape[-1] for kind in ("cifar", "imagenet")}
    assert sides == {"cifar": 32, "imagenet": 16}


def test_every_parameter_gets_a_gradient() -> None:
    model = build_anynet(small(), num_classes=4)
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "torchvision_name"), [("regnety_400mf", "regnet_y_400mf"), ("regnetx_800mf", "regnet_x_800mf")]
)
def test_logits_equal_torchvisions_where_its_rounding_is_the_authors(name: str, torchvision_name: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, torchvision_name)(weights=None).eval()
    ours = build_anynet(preset(name).design()).eval()
    values = list(theirs.state_dict().values())
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_torchvisions_regnetx_400mf_is_another_model() -> None:
    theirs = torchvision.models.regnet_x_400mf(weights=None)
    assert sum(p.numel() for p in theirs.parameters()) == 5_495_976
    assert complexity(preset("regnetx_400mf").design()).params == 5_157_512


def test_parameters_start_as_the_authors_do() -> None:
    torch.manual_seed(0)
    model = build_anynet(preset("regnety_200mf").design())
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = math.prod(module.kernel_size) * module.out_channels
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert bool((module.bias == 0).all())
        elif isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.05)
            assert bool((module.bias == 0).all())


def test_the_same_seed_gives_the_same_parameters() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(build_anynet(small()))
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_blocks_can_start_as_identities() -> None:
    model = build_anynet(small(), zero_init_final_norm=True).eval()
    blocks = [m for m in model.modules() if isinstance(m, BottleneckBlock) and isinstance(m.shortcut, nn.Identity)]
    assert blocks
    for block in blocks:
        x = torch.rand(1, block.final_norm.num_features, 4, 4)
        assert torch.equal(block(x), x)


def test_counting_leaves_the_model_as_it_was() -> None:
    model = build_anynet(small()).train()
    model.stem.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(model, (3, 32, 32))
    assert model.training
    assert not model.stem.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
