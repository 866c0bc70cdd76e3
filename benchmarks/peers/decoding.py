"""How peers decode and collate: all alike, so that loaders are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import simplejpeg
import torch
from torchvision.io import ImageReadMode, decode_jpeg

Decode = Callable[[bytes], Any]


def decoder(name: str) -> Decode:
    """From the bytes of a JPEG to uint8: a (3, H, W) tensor of torchvision's, an (H, W, 3) array of simplejpeg's."""
    return {"torchvision": _torchvision, "simplejpeg": simplejpeg.decode_jpeg}[name]


def collate(samples: Sequence[tuple[Any, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """One training batch of (image, label) pairs: (N, 3, H, W) uint8, laid out as the decoder made them, and labels."""
    images, labels = zip(*samples, strict=True)
    if isinstance(images[0], torch.Tensor):
        return torch.stack(images), torch.tensor(labels)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(labels)


def _torchvision(encoded: bytes) -> torch.Tensor:
    return decode_jpeg(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), mode=ImageReadMode.RGB)
