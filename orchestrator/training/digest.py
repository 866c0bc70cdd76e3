"""One number that says whether two models are equal bit for bit."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def parameters_digest(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers, by name: equal exactly where two models are, bit for bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
