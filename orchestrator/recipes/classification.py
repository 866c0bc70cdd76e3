"""Batches of labelled images, and what is measured of a classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch.nn import functional


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, C, H, W) float32 and labels (N,) int64; `memory_format`: how images lie on the device."""

    images: torch.Tensor
    labels: torch.Tensor
    memory_format: torch.memory_format = torch.channels_last

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        images = self.images.to(device, memory_format=self.memory_format, non_blocking=True)
        return replace(self, images=images, labels=self.labels.to(device, non_blocking=True))


def smoothed_loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy with label smoothing, summed over the samples.

    Source: Szegedy et al., "Rethinking the Inception Architecture", arXiv 1512.00567, section 7.
    """
    return functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


def measure(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sums of cross-entropy (without label smoothing) and of wrong top-1 answers over the samples: (2,) float64."""
    loss = functional.cross_entropy(logits.double(), labels, reduction="sum")
    wrong = (logits.argmax(dim=1) != labels).sum().double()
    return torch.stack([loss, wrong])
