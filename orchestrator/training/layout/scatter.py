"""Gradient sums on shards: each worker gets its rows of every slice's gradient, and adds them in the tree's order.

Pass p of worker r runs slice p W + r, so that the leaves arrive in the order of the slices, and a worker keeps the
sums of O(log V) sub-trees. FSDP2 calls `Scatter` in the place of its reduce-scatter, once or more in each pass; what it
takes for the result is memory that gets its numbers when the step's last pass is done.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist

from orchestrator.training.group import Group, breaking
from orchestrator.training.tree_sum import SubtreeSums, finish_tree, root


class Gather:
    """FSDP2's all-gather, watched by the group: whoever waits in it says so.

    Args:
        group: the workers.
    """

    def __init__(self, group: Group) -> None:
        self._group = group

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Memory of its own for each call."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: torch.Tensor, input_tensor: torch.Tensor, group: dist.ProcessGroup, async_op: bool = False
    ) -> None:
        """Bring the parts together."""
        self._group.traffic.all_gather(input_tensor.nbytes, self._group.size)
        with breaking():
            work = dist.all_gather_into_tensor(output_tensor, input_tensor, group=group, async_op=True)
        self._group.finish(work)


class Scatter:
    """One unit's gradients on their way to their owners.

    Args:
        group: the workers.
        exact: add in the tree's order; else as torch's reduce-scatter does.
    """

    def __init__(self, group: Group, *, exact: bool) -> None:
        self._group, self._exact = group, exact
        self.ghost = False
        self._count = 1
        self._sums: SubtreeSums[torch.Tensor] = SubtreeSums(())
        self._leaves: torch.Tensor | None = None
        self._result: torch.Tensor | None = None

    def begin(self, count: int) -> None:
        """Before the first pass of a step of `count` slices."""
        self._count = count
        self._sums = SubtreeSums((root(count),))
        self._leaves = self._result = None

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Memory of its own for each call."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self,
        output_tensor: torch.Tensor,
        input_tensor: torch.Tensor,
        group: dist.ProcessGroup,
        op: object,
        async_op: bool = False,
    ) -> None:
        """Send each worker (C,) of `input_tensor` (W C,); a ghost sends zeros."""
        if self.ghost:
            input_tensor.zero_()
        if not self._exact:
            self._group.traffic.in_parts(input_tensor.nbytes, self._group.size)
            with breaking():
                work = dist.reduce_scatter_tensor(output_tensor, input_tensor, group=group, async_op=True)
            self._group.finish(work)
            return
        arrived = self._group.all_to_all(input_tensor.view(self._group.size, -1))
        self._leaves = arrived if self._leaves is None else self._leaves.add_(arrived)
        self._result = output_tensor.zero_() if self._result is None else self._result

    def close_slices(self, first: int, filled: int, *, forget: bool) -> None:
        """Take what arrived as the leaves of the slices from `first` on.

        Args:
            first: the slice of worker 0.
            filled: how many slices of the step have samples.
            forget: what FSDP2 took for the result is dropped.
        """
        for index, leaf in enumerate(() if self._leaves is None else self._leaves, first):
            if index < filled:
                # A right sibling is added to its left one at once; the left ones stay, without the others' memory.
                self._sums.add(index, leaf.add_(0.0) if index % 2 else leaf + 0.0)
        self._leaves = None
        if forget:
            self._result = None

    def finish(self) -> None:
        """Put the sum over all slices where FSDP2 looks for it."""
        if self._result is not None and self._exact:
            self._result.copy_(finish_tree(self._sums.finish(), self._count))
