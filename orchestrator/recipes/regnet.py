"""The `regnet` recipe: one RegNet that classifies images ("Designing Network Design Spaces", arXiv 2003.13678)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import nn

from orchestrator.blueprint.complexity import Complexity, complexity
from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.models.anynet import build_anynet
from orchestrator.recipes.classification import LabelledImages, measure, smoothed_loss
from orchestrator.recipes.images import ImageSplits
from orchestrator.recipes.skipped import SkippedRows
from orchestrator.spec.regnet import MEASURES, RegNetWorkload
from orchestrator.training.state import DATASET
from orchestrator.training.task import Request, Split, Task

VERSION = 1
"""Rises whenever equal workloads would train differently; a checkpoint of another version is refused."""


@dataclass(frozen=True)
class RegNetRecipe(Task[LabelledImages]):
    """One RegNet on the images of a workload.

    Attributes:
        parameters: of the model.
        images: the dataset.
        label_smoothing: share of the target that is spread over all classes.
        channels_last: how images lie in memory, as the model's weights do.
    """

    parameters: RegNetParameters
    images: ImageSplits
    label_smoothing: float = 0.0
    channels_last: bool = True

    @classmethod
    def from_workload(
        cls,
        workload: RegNetWorkload,
        parameters: RegNetParameters,
        device: torch.device,
        skipped: Callable[[SkippedRows], None] = lambda rows: None,
    ) -> Self:
        """The recipe of a workload's model or of one of its trials; `skipped` is told of corrupt records."""
        cores = workload.resources.cpus_per_worker
        images = ImageSplits.open(workload.data, workload.seed, cores=cores, device=device, skipped=skipped)
        return cls(parameters, images, workload.optim.label_smoothing, workload.train.channels_last)

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """What a checkpoint belongs to."""
        return {
            "recipe": f"regnet {VERSION}",
            DATASET: self.images.version,
            "data": self.images.data.identity(),
            "label_smoothing": self.label_smoothing,
            **{f"model.{name}": value for name, value in asdict(self.parameters).items()},
        }

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what `evaluate` sums up."""
        return MEASURES

    @property
    def complexity(self) -> Complexity:
        """Multiply-adds, parameters and activations of the model on the workload's images."""
        about = self.images.description
        return complexity(
            self.parameters.design(),
            image_size=self.images.data.image_size,
            in_channels=about.channels,
            num_classes=len(about.classes),
        )

    @property
    def memory_format(self) -> torch.memory_format:
        """Of model and images."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def look_ahead(self) -> int:
        """How many loads can be made ahead."""
        return self.images.look_ahead

    def build_model(self) -> nn.Module:
        """The model with new parameters."""
        about = self.images.description
        return build_anynet(self.parameters.design(), in_channels=about.channels, num_classes=len(about.classes))

    def samples(self, split: Split) -> int:
        """How many samples an epoch of the split has; 0 where there is no such split."""
        return self.images.positions(split)

    def load(self, request: Request) -> LabelledImages:
        """Images and labels at positions of an epoch's order."""
        images, labels = self.images.load(request.split, request.positions, request.epoch)
        return LabelledImages(images, labels, self.memory_format)

    def expect(self, requests: Sequence[Request]) -> None:
        """What is loaded next."""
        self.images.expect(requests)

    def loss(self, model: nn.Module, batch: LabelledImages) -> torch.Tensor:
        """Cross-entropy with label smoothing, summed over the samples."""
        return smoothed_loss(model(batch.images), batch.labels, self.label_smoothing)

    def evaluate(self, model: nn.Module, batch: LabelledImages) -> torch.Tensor:
        """Sums of loss and wrong answers."""
        return measure(model(batch.images), batch.labels)
