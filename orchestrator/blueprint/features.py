"""What a training does, in the numbers that its time and its memory depend on; both planes compute them, without torch.

Activations (elements of the outputs of convolutions), not flops, predict the run time of a network on accelerators
whose bandwidth is what limits them: "Designing Network Design Spaces" (arXiv 2003.13678, section 4.2, figure 12) and
"Fast and Accurate Model Scaling" (arXiv 2103.06877, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from orchestrator.blueprint.complexity import Complexity
from orchestrator.blueprint.regnet import AnyNetDesign
from orchestrator.spec.regnet import RegNetWorkload

OPTIMIZER_SLOTS: Mapping[str, int] = {"sgd": 1, "lars": 1, "adamw": 2}
"""Tensors of the size of the parameters that each optimizer keeps; sgd and lars keep none without momentum."""


@dataclass(frozen=True, slots=True)
class Features:
    """What one step computes.

    Attributes:
        family: of the recipe, such as `regnet`.
        flops: multiply-adds of a forward pass of one sample.
        activations: elements of the outputs of convolutions and linear layers, of one sample.
        params: learned numbers.
        layers: convolutions and linear layers: what has to be launched one by one.
        inputs: numbers in one sample as the model reads it; decoding and augmenting grow with them.
        slice_samples: samples that one pass computes at once.
        virtual_workers: slices of the global batch.
        precision: fp32, bf16 or fp16.
        recompute: whether activations are computed twice, to save memory.
        compiled: whether by torch.compile.
        optimizer_slots: tensors of the parameters' size that the optimizer keeps.
        average: whether an average of the parameters is kept.
        sharded: whether parameters, gradients and optimizer state are shared out over the workers.
        cores: CPU cores of one worker.
    """

    family: str
    flops: float
    activations: float
    params: float
    layers: int
    inputs: int
    slice_samples: int
    virtual_workers: int = 1
    precision: str = "fp32"
    recompute: bool = False
    compiled: bool = False
    optimizer_slots: int = 1
    average: bool = False
    sharded: bool = False
    cores: int = 1

    @property
    def batch(self) -> int:
        """Samples of a step."""
        return self.slice_samples * self.virtual_workers

    def passes(self, workers: int) -> int:
        """Slices that the busiest of so many workers runs in a step: ceil(V / W)."""
        return -(-self.virtual_workers // max(1, workers))

    def to_json(self) -> dict[str, Any]:
        """As events and the store have it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Features:
        """The inverse; keys that are not known are left out.

        Raises:
            OverflowError, TypeError, ValueError: it is no such document.
        """
        kinds = {each.name: type(default) for each, default in zip(fields(cls), asdict(_EXAMPLE).values(), strict=True)}
        found = cls(**{name: kinds[name](value) for name, value in document.items() if name in kinds})
        amounts, counts = (found.flops, found.activations, found.params), (found.layers, found.inputs)
        positive = (found.slice_samples, found.virtual_workers, found.cores)
        if not all(each == 0 or 1e-3 <= each < _MOST for each in amounts):
            raise ValueError("amounts are not negative, and nobody can reckon with endless ones")
        if not (all(1 <= each < _MOST for each in positive) and all(0 <= each < _MOST for each in counts)):
            raise ValueError("counts are positive, and nobody can reckon with endless ones")
        if not 0 <= found.optimizer_slots <= 100 or max(len(found.family), len(found.precision)) > 64:
            raise ValueError("it is no description of a training")
        return found


_MOST = 1e18
_EXAMPLE = Features("", 0.0, 0.0, 0.0, 0, 0, 1)


@dataclass(frozen=True, slots=True)
class Training:
    """One model's training, whatever the number of workers.

    Attributes:
        features: of its steps.
        samples: that it trains on in all.
        evaluated: that it evaluates in all, forward only.
        epochs: that end.
    """

    features: Features
    samples: float
    evaluated: float = 0.0
    epochs: float = 1.0


def features_of(workload: RegNetWorkload, design: AnyNetDesign, cost: Complexity, *, channels: int) -> Features:
    """Of one model of a workload.

    Args:
        workload: the workload.
        design: of the model.
        cost: of the model on the workload's images.
        channels: of the images.
    """
    train, optim = workload.train, workload.optim
    slots = OPTIMIZER_SLOTS[optim.optimizer] if optim.optimizer == "adamw" or optim.momentum else 0
    return Features(
        family=workload.recipe,
        flops=float(cost.flops),
        activations=float(cost.activations),
        params=float(cost.params),
        layers=layers_of(design),
        inputs=channels * workload.data.image_size**2,
        slice_samples=train.slice_samples,
        virtual_workers=train.virtual_workers,
        precision=train.precision,
        recompute=train.activation_checkpointing,
        compiled=train.compile,
        optimizer_slots=slots,
        average=train.ema is not None,
        sharded=train.parallel == "fsdp",
        cores=workload.resources.cpus_per_worker,
    )


def layers_of(design: AnyNetDesign) -> int:
    """Convolutions and linear layers of a design: three a block, two more with squeeze-and-excitation, projections."""
    width, count = design.stem.width, 2
    for stage in design.stages:
        count += stage.depth * (5 if design.se_ratio else 3)
        count += stage.stride != 1 or width != stage.width
        width = stage.width
    return count
