"""Batch norm of virtual workers: statistics per slice, running ones updated in slice order for any world.

While a slice runs, every batch-norm layer writes the slice's own moments into one row, instead of mixing them into its
running statistics. The rows of all slices are gathered, and each worker then makes the same updates in slice order
(decisions.md 11; the statistics per worker are those of Goyal et al., arXiv 1706.02677, section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from orchestrator.base.errors import UsageError


class SliceStatistics:
    """The batch-norm layers of a model.

    Args:
        model: whose layers keep their places, and their running statistics as buffers.
        device: where the model lies.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        modules = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self._layers = [module for module in modules if module.track_running_stats]
        if any(layer.momentum is None for layer in self._layers):
            raise UsageError("a batch-norm layer has momentum=None", hint="give it a number, such as 0.1")
        sizes = [layer.num_features for layer in self._layers for _ in range(2)]
        self.row = torch.zeros(sum(sizes), device=device)
        self._row_views = torch.split(self.row, sizes)
        momenta = [torch.full((2 * layer.num_features,), layer.momentum or 0.0) for layer in self._layers]
        self._momentum = torch.cat(momenta).to(device) if momenta else self.row
        self._normed = bool(modules)

    def __bool__(self) -> bool:
        """Whether the model has any batch-norm layer."""
        return self._normed

    @contextmanager
    def capture(self, samples: int) -> Iterator[None]:
        """Run one slice's forward pass: afterwards `row` (M,) holds its moments.

        One sample has no variance over a batch: it is normalised by the running statistics, and updates none.
        """
        if samples < 2:
            with self._evaluating():
                yield
            return
        saved = [(layer._buffers.copy(), layer.momentum) for layer in self._layers]
        for layer, mean, variance in zip(self._layers, self._row_views[::2], self._row_views[1::2], strict=True):
            # With momentum 1 the layer overwrites these with the batch's mean and unbiased variance.
            layer._buffers.update(running_mean=mean, running_var=variance, num_batches_tracked=None)
            layer.momentum = 1.0
        try:
            yield
        finally:
            for layer, (buffers, momentum) in zip(self._layers, saved, strict=True):
                layer._buffers.update(buffers)
                layer.momentum = momentum

    def update(self, rows: torch.Tensor) -> None:
        """Make one update of the running statistics for each slice's moments, rows (n, M), in their order."""
        if not self._layers or not len(rows):
            return
        running = torch.cat(
            [t for layer in self._layers for t in (layer.running_mean, layer.running_var) if t is not None]
        )
        for moments in rows:
            running.mul_(1 - self._momentum).add_(moments * self._momentum)
        parts = iter(torch.split(running, [len(view) for view in self._row_views]))
        for layer in self._layers:
            for buffer in (layer.running_mean, layer.running_var):
                assert buffer is not None
                buffer.copy_(next(parts))
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.add_(len(rows))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        for layer in self._layers:
            layer.eval()
        try:
            yield
        finally:
            for layer in self._layers:
                layer.train()
