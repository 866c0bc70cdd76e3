"""What a run tells of its speed, and that the arithmetic of memory is that of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ranks import events, new_run, one_rank

from orchestrator.base.hardware import cpu_name
from orchestrator.blueprint.complexity import complexity
from orchestrator.blueprint.features import Features, features_of, layers_of
from orchestrator.blueprint.workload import parameters_of
from orchestrator.models.anynet import build_anynet
from orchestrator.scheduling.estimates.memory import footprint
from orchestrator.spec.regnet import RegNetWorkload

Tiny = Callable[..., RegNetWorkload]


def test_a_run_tells_how_fast_its_steady_steps_were(tiny: Tiny, tmp_path: Path) -> None:
    workload = tiny(train={"epochs": 3})
    run = new_run(tmp_path, workload)
    assert one_rank(run) == 0
    last = events(run, "measured")[-1]
    found = last.data
    features = Features.from_json(found["features"])
    design = parameters_of(workload.model).design()
    cost = complexity(design, image_size=8, in_channels=1, num_classes=10)
    assert features == features_of(workload, design, cost, channels=1)
    assert (features.virtual_workers, features.slice_samples, features.batch) == (4, 16, 64)
    assert (found["device"], found["workers"]) == (cpu_name(), 1)
    assert found["steps"] == 3 * 17 - 3
    assert found["evaluated"] == 3 * 360 + 359
    assert 0 < found["seconds"] < 120
    assert found["memory"] > 100 * 2**20


@pytest.mark.parametrize("family", ["regnetx", "regnety"])
def test_layers_are_those_that_torch_runs(tiny: Tiny, family: str) -> None:
    design = parameters_of(tiny(model={"family": family, "depth": 7, "w0": 24, "wa": 24.0}).model).design()
    model = build_anynet(design, in_channels=3, num_classes=10)
    assert layers_of(design) == sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in model.modules())


@pytest.mark.parametrize(("size", "depth", "width"), [(8, 4, 16), (32, 6, 24), (16, 8, 48)])
def test_what_a_pass_keeps_is_what_torch_keeps(tiny: Tiny, size: int, depth: int, width: int) -> None:
    workload = tiny(
        data={"image_size": size}, model={"depth": depth, "w0": width, "wa": float(width)}, train={"batch_size": 16}
    )
    design = parameters_of(workload.model).design()
    cost = complexity(design, image_size=size, in_channels=1, num_classes=10)
    model = build_anynet(design, in_channels=1, num_classes=10).train()
    parameters = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(torch.randn(16, 1, size, size)).sum()
    expected = footprint(features_of(workload, design, cost, channels=1), "cpu:x").activations
    assert expected == pytest.approx(sum(kept.values()), rel=0.25)
    assert loss.requires_grad
