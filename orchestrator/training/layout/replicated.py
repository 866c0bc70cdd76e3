"""Parameters on every worker (parallel: ddp); the gradient sum overlaps the last backward pass of a step."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from orchestrator.training.config import TrainConfig
from orchestrator.training.group import Group
from orchestrator.training.layout.buckets import BUCKET_BYTES, Bucket, Parts, in_buckets
from orchestrator.training.layout.exchange import Exchange, PlainExchange, TreeExchange
from orchestrator.training.layout.handover import hand_over
from orchestrator.training.layout.protocol import Arrival, StateLost, T, Tensors
from orchestrator.training.slices import share
from orchestrator.training.tree_sum import Node, SubtreeSums, finish_tree, maximal_nodes

NO_STATE = -1


class ReplicatedLayout:
    """One training's parameters, whole on each worker. See `protocol.Layout` for what its methods promise.

    Args:
        model: with its first parameters, the same on every worker.
        config: of the training.
        device: where this worker computes.
        bucket_bytes: of gradients that one collective carries; it changes no bit, and is the same on every worker.
    """

    needs_leavers = False
    runs_ghosts = False

    def __init__(
        self, model: nn.Module, config: TrainConfig, *, device: torch.device, bucket_bytes: int = BUCKET_BYTES
    ) -> None:
        self._model = model.to(device)
        if config.channels_last:
            _lay_channels_last(self._model)
        self._exact = config.exact
        self._named = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        # The backward pass comes to the last layers first.
        self._buckets = in_buckets(reversed(self._named.values()), bucket_bytes)
        for place, bucket in enumerate(self._buckets):
            for parameter in bucket.members:
                # Not the layout itself: torch keeps a hook alive with its parameter, and no collector sees that ring.
                hook = partial(_arrived, weakref.ref(self), place)
                parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
        self._gradients: Tensors = {}
        self._missing: list[int] = []
        self._armed = self._parted = False
        self._exchanges: list[Exchange] = []
        self._started = 0
        self._steps = 0
        self._group: Group | None = None

    @property
    def model(self) -> nn.Module:
        """The one object, in all views."""
        return self._model

    @property
    def steps(self) -> int:
        """Steps in the parameters that this worker has; `NO_STATE` where a hand-over was broken off."""
        return self._steps

    def parameters(self) -> Mapping[str, torch.Tensor]:
        """All of them, whole."""
        return {name: parameter.detach() for name, parameter in self._named.items()}

    def gradients(self) -> Mapping[str, torch.Tensor]:
        """The mean gradient, whole; overwritten by the next step."""
        return self._gradients

    def enter(self, arrival: Arrival, group: Group | None, state: Tensors) -> Tensors:
        """Give everything to those who have nothing, from the lowest of those who hold it."""
        self._group = group
        if not arrival.holders:
            raise StateLost("no living worker holds the state")
        if len(arrival.holders) < arrival.group.size:
            holds = arrival.group.rank in arrival.holders
            steps = torch.tensor([self._steps], device=arrival.group.device)
            # Broken off in the middle, a mixture is left.
            self._steps = self._steps if holds else NO_STATE
            hand_over(arrival.group, {**self._whole(), **state, "steps": steps}, min(arrival.holders))
            self._steps = int(steps.item())
        return state

    def call(self, function: Callable[[], T]) -> T:
        """There is nothing around it."""
        return function()

    def committed(self, steps: int, state: Tensors) -> None:
        """Every worker has all of it already."""
        self._steps = steps

    def abandon(self) -> None:
        """What was being sent holds on to connections."""
        self._group, self._exchanges = None, []

    def passes(self, count: int, filled: int) -> tuple[int | None, ...]:
        """The worker's contiguous share of the slices with samples; a pass holds no collective, and needs no ghost."""
        group = self._members()
        return tuple(index for index in share(count, group.rank, group.size) if index < filled)

    def begin_step(self, count: int, filled: int) -> None:
        """Forget the step before, whether it was committed or abandoned."""
        group = self._members()
        for parameter in self._named.values():
            parameter.grad = None
        nodes = maximal_nodes(count, share(count, group.rank, group.size)) if self._exact else (Node(0, 1),)
        self._count, self._parted = count, False
        self._sums: list[SubtreeSums[Parts]] = [SubtreeSums(nodes) for _ in self._buckets]
        self._exchanges = [self._exchange(bucket, group, filled) for bucket in self._buckets] if group.size > 1 else []
        self._started = 0

    @contextmanager
    def slice_pass(self, index: int | None, *, last: bool, ends: bool = True) -> Iterator[None]:
        """Gradients are taken as a leaf of the tree, in the last pass bucket by bucket while others still come."""
        final = last and ends
        self._versions: list[list[int]] = [[] for _ in self._buckets]
        if index is not None and self._exact and ends and not self._parted:
            self._add_in_place(index)
        self._leaf, self._parted = index, not ends
        self._missing = [len(bucket.members) for bucket in self._buckets]
        self._armed = final and bool(self._exchanges)
        try:
            yield
        finally:
            self._armed = False
        if final and self._exchanges:
            self._start(len(self._buckets))
        elif final or (ends and self._exact):
            self._take_leaves(range(len(self._buckets)))

    def reduce(self, scale: float) -> None:
        """Wait for the sums of all buckets."""
        if self._exchanges:
            self._exchanges[-1].turn()
            found = [exchange.finish(scale) for exchange in self._exchanges]
            self._exchanges = []
        else:
            found = [self._finish_alone(sums, scale) for sums in self._sums]
        by_parameter = {
            id(parameter): gradient
            for bucket, gradients in zip(self._buckets, found, strict=True)
            for parameter, gradient in zip(bucket.members, gradients, strict=True)
        }
        self._gradients = {name: by_parameter[id(parameter)] for name, parameter in self._named.items()}

    def squared_norms(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Each worker computes them from the whole tensors, and so gets the same bits."""
        norms = [torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in tensors.values()]
        device = self._members().device
        return torch.stack(norms).square() if norms else torch.zeros(0, dtype=torch.float64, device=device)

    def checkpointed(self, state: Tensors) -> dict[str, torch.Tensor]:
        """Whole tensors."""
        model = {f"model/{name}": tensor for name, tensor in self._model.state_dict().items()}
        return {**model, **state}

    def _whole(self) -> Tensors:
        """Parameters and buffers, those that no checkpoint has included."""
        named = {**dict(self._model.named_parameters()), **dict(self._model.named_buffers())}
        return {f"model/{name}": tensor.detach() for name, tensor in named.items()}

    def _members(self) -> Group:
        assert self._group is not None, "a layout is used after `enter`, by members"
        return self._group

    def _exchange(self, bucket: Bucket, group: Group, filled: int) -> Exchange:
        if self._exact:
            return TreeExchange(bucket, group, self._count, filled)
        return PlainExchange(bucket, group)

    def arrived(self, place: int) -> None:
        """A gradient of a bucket is complete: begin to send the buckets that are, in the order that all keep."""
        if not self._armed:
            return
        self._missing[place] -= 1
        ready = self._started
        while ready < len(self._buckets) and self._missing[ready] <= 0:
            ready += 1
        self._start(ready)

    def _start(self, stop: int) -> None:
        """Begin the exchange of the buckets before `stop`; each turns when the one after it has begun."""
        for place in range(self._started, stop):
            if self._leaf is not None:
                self._take_leaves(range(place, place + 1))
            self._exchanges[place].start(self._sums[place].finish())
            if place:
                self._exchanges[place - 1].turn()
            self._started = place + 1

    def _add_in_place(self, index: int) -> None:
        """Have the backward pass itself add a right leaf to its left one: `grad` is where autograd adds to."""
        for place, bucket in enumerate(self._buckets):
            left = self._sums[place].take_left(index)
            if left is not None:
                self._versions[place] = [tensor._version for tensor in left.tensors]
                for parameter, tensor in zip(bucket.members, left.tensors, strict=True):
                    parameter.grad = tensor

    def _take_leaves(self, places: range) -> None:
        leaf = self._leaf if self._exact else 0
        if leaf is None:
            return
        for place in places:
            gradients = []
            for parameter in self._buckets[place].members:
                gradients.append(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
                parameter.grad = None
            if versions := self._versions[place]:
                _add_zeros([g for g, version in zip(gradients, versions, strict=True) if g._version == version])
                self._sums[place].add_pair(leaf, Parts(gradients))
            else:
                self._sums[place].add(leaf, Parts(gradients))

    def _finish_alone(self, sums: SubtreeSums[Parts], scale: float) -> list[torch.Tensor]:
        tensors = finish_tree(sums.finish(), self._count if self._exact else 1).tensors
        torch._foreach_mul_(tensors, scale)
        return tensors


def _add_zeros(untouched: list[torch.Tensor]) -> None:
    """What had no gradient in this slice counts as zeros in any other place of the tree, and -0 + 0 is +0."""
    if untouched:
        torch._foreach_add_(untouched, 0.0)


def _lay_channels_last(model: nn.Module) -> None:
    """What oneDNN's and cuDNN's convolutions are fastest in, grouped ones above all: of images (4) and clips (5)."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dim() in formats:
            tensor.data = tensor.data.contiguous(memory_format=formats[tensor.dim()])


def _arrived(layout: weakref.ref[ReplicatedLayout], place: int, parameter: torch.Tensor) -> None:
    found = layout()
    if found is not None:
        found.arrived(place)
