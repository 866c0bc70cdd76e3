"""Keeps strided 1x1 convolutions of few channels away from a kernel of oneDNN that writes outside its memory."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_BLOCK = 16
"""Input channels that oneDNN's kernels for AVX-512 take at a time (8 for AVX2)."""


class SubsampledConv2d(nn.Conv2d):
    """A strided 1x1 convolution without padding that takes the pixels that it sees first, where gradients are computed.

    It is the same function. With images in channels_last and fewer channels than a block, the gradient of its weights
    is computed in a workspace that oneDNN (3.13, of torch 2.15) books for the channels that there are and steps
    through by whole blocks (its issue 6035): what lies behind is overwritten. Batch, image size and number of threads
    decide how far, one thread included; the process dies of it, or goes on with other numbers. It steps by one block a
    pixel, so that with 16 channels or more, 24 and 40 among them, it never gets past what is booked. Of a convolution
    with stride 1 there is no such workspace.

    Without gradients nothing is done differently: an evaluation has the bits that it has outside of a training.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, O, ceil(H / stride), ceil(W / stride))."""
        if not torch.is_grad_enabled():
            return super().forward(input)
        rows, columns = self.stride
        return functional.conv2d(input[..., ::rows, ::columns], self.weight, self.bias)


def subsample_first(model: nn.Module) -> None:
    """Make each such convolution of a model that is trained on a CPU a `SubsampledConv2d`; names and values stay."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _overflows(module):
            module.__class__ = SubsampledConv2d


def _overflows(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (1, 1)
        and convolution.stride != (1, 1)
        and convolution.padding in ((0, 0), "valid")
        and convolution.groups == 1
        and convolution.in_channels < _BLOCK
    )
