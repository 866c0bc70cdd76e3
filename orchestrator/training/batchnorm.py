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

_NONE: tuple[torch.Tensor | None, int] = (None, 0)


class SliceStatistics:
    """The batch-norm layers of a model.

    Args:
        model: whose layers keep their places, and their running statistics as buffers.
        device: where the model lies.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        modules = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        if any(isinstance(module, nn.SyncBatchNorm) for module in modules):
            raise UsageError(
                "the model has a SyncBatchNorm layer: its statistics are those of a number of workers",
                hint="take BatchNorm2d; over how many samples it goes is said by train.samples_per_virtual_worker",
            )
        self._layers = [module for module in modules if module.track_running_stats]
        if any(layer.momentum is None for layer in self._layers):
            raise UsageError("a batch-norm layer has momentum=None", hint="give it a number, such as 0.1")
        # A tensor for each, not views of one: torch.compile is slow with inputs that overlap.
        self._moments = [torch.zeros(x.num_features, device=device) for x in self._layers for _ in range(2)]
        momenta = [torch.full((2 * layer.num_features,), layer.momentum or 0.0) for layer in self._layers]
        self._momentum = torch.cat(momenta).to(device) if momenta else torch.zeros(0, device=device)
        self._normed = bool(modules)
        self._others = [each for each in model.named_modules() if not isinstance(each[1], _BatchNorm)]
        self.note_buffers()

    def __bool__(self) -> bool:
        """Whether the model has any batch-norm layer."""
        return self._normed

    @property
    def width(self) -> int:
        """M: how many moments a slice has."""
        return len(self._momentum)

    @property
    def row(self) -> torch.Tensor:
        """(M,): the moments of the slice that was captured last."""
        return torch.cat(self._moments) if self._moments else self._momentum

    def refuse_other_changes(self) -> None:
        """Hold that no forward pass since `note_buffers` changed a buffer that no layer here owns.

        Raises:
            UsageError: what it holds would depend on which slices this worker ran.
        """
        now = self._buffers()
        for name in now.keys() | self._noted.keys():
            before, after = self._noted.get(name, _NONE), now.get(name, _NONE)
            if after[0] is not before[0] or after[1] != before[1]:
                raise UsageError(
                    f"the forward pass changes the buffer {name}, and each worker would have another one",
                    hint="change it in the task's after_step",
                )

    def note_buffers(self) -> None:
        """Before the passes of a step: what changes until `refuse_other_changes` is their doing."""
        self._noted = self._buffers()

    def _buffers(self) -> dict[str, tuple[torch.Tensor | None, int]]:
        """Which tensor each buffer is (another one may be put in its place), and how often that was changed."""
        return {
            f"{prefix}.{name}" if prefix else name: _NONE if buffer is None else (buffer, buffer._version)
            for prefix, module in self._others
            for name, buffer in module._buffers.items()
        }

    @contextmanager
    def capture(self, samples: int) -> Iterator[None]:
        """Run one slice's forward and backward pass (which may recompute the forward): afterwards see `row`.

        One sample has no variance over a batch: it is normalised by the running statistics, and updates none. Of a
        layer that is called several times in a pass the last call counts.
        """
        if samples < 2:
            with self._evaluating():
                yield
            return
        if self._moments:
            torch._foreach_zero_(self._moments)  # a layer multiplies what is there with zero, and that keeps no NaN out
        saved = [(layer, layer._buffers.copy(), layer.momentum) for layer in self._layers if layer.training]
        for layer, mean, variance in zip(self._layers, self._moments[::2], self._moments[1::2], strict=True):
            if layer.training:
                # With momentum 1 the layer overwrites these with the batch's mean and unbiased variance.
                layer._buffers.update(running_mean=mean, running_var=variance, num_batches_tracked=None)
                layer.momentum = 1.0
        try:
            yield
        finally:
            for layer, buffers, momentum in saved:
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
        parts = iter(torch.split(running, [len(moments) for moments in self._moments]))
        for layer in self._layers:
            mean, variance = next(parts), next(parts)
            if not layer.training:  # a frozen one, or a teacher's
                continue
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.add_(len(rows))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        training = [layer for layer in self._layers if layer.training]
        for layer in training:
            layer.eval()
        try:
            yield
        finally:
            for layer in training:
                layer.train()
