"""The passes and gradient sums of one view of a sharded training: over several workers, and on one alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar, cast

import torch
import torch._dynamo  # the first DTensor imports it, for two seconds: not in the middle of a change of view
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Shard

from orchestrator.training.group import Group, breaking
from orchestrator.training.layout.protocol import Tensors
from orchestrator.training.layout.scatter import Gather, Scatter
from orchestrator.training.layout.skeleton import Skeleton, units
from orchestrator.training.tree_sum import SubtreeSums, finish_tree, root

T = TypeVar("T")
_FORWARD = "run_orchestrated"


class Sums(Protocol):
    """What `ShardedLayout` asks of its module in one view."""

    @property
    def module(self) -> nn.Module:
        """The model."""
        ...

    @property
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """This worker's part of each parameter, frozen ones too."""
        ...

    def saved(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """A parameter-shaped part as a checkpoint takes it."""
        ...

    def call(self, function: Callable[[], T]) -> T:
        """Run a forward."""
        ...

    def begin_step(self, count: int, filled: int) -> None:
        """Before the first pass."""
        ...

    def slice_pass(self, index: int | None, *, last: bool, ends: bool) -> AbstractContextManager[None]:
        """Around one pass."""
        ...

    def gradients(self, scale: float) -> Tensors:
        """Finish the sum; of parameters without any gradient there is none."""
        ...


class AloneSums:
    """One worker: the plain module, its gradients added in the tree's order.

    Args:
        module: a new copy of the model, taken over.
        skeleton: of the model.
        parameters: whole, on the device.
        buffers: of the module, taken over.
        exact: add in the tree's order.
    """

    def __init__(
        self, module: nn.Module, skeleton: Skeleton, parameters: Tensors, buffers: Tensors, *, exact: bool
    ) -> None:
        self.module, self._exact = module, exact
        flags = skeleton.parameters
        self._parameters = {n: nn.Parameter(t, requires_grad=flags[n].requires_grad) for n, t in parameters.items()}
        skeleton.fill(self.module, self._parameters, buffers)
        self._trained = {name: p for name, p in self._parameters.items() if p.requires_grad}

    @property
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """All parameters, whole."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    def saved(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """The whole tensor."""
        return part

    def call(self, function: Callable[[], T]) -> T:
        """Nothing needs to be gathered."""
        return function()

    def begin_step(self, count: int, filled: int) -> None:
        """Forget the step before."""
        self._forget()
        self._count = count if self._exact else 1
        self._sums: SubtreeSums[torch.Tensor] = SubtreeSums((root(self._count),))
        self._total: torch.Tensor | None = None
        self._next = 0

    @contextmanager
    def slice_pass(self, index: int | None, *, last: bool, ends: bool) -> Iterator[None]:
        """The gradient of a slice is a leaf; what a ghost adds to it is dropped."""
        before = {name: p.grad for name, p in self._trained.items()} if index is None else {}
        if index is None:
            self._forget()
        yield
        for name, gradient in before.items():
            self._trained[name].grad = gradient
        if ends:
            self._add(self._leaf())
            self._forget()

    def gradients(self, scale: float) -> Tensors:
        """The whole ones."""
        flat = finish_tree(self._sums.finish(), self._count) if self._exact else self._total
        assert flat is not None, "a step has at least one slice"
        parts = torch.split(flat.mul_(scale), [parameter.numel() for parameter in self._trained.values()])
        return {n: part.view(p.shape) for part, (n, p) in zip(parts, self._trained.items(), strict=True)}

    def _add(self, leaf: torch.Tensor) -> None:
        if self._exact:
            self._sums.add(self._next, leaf)
            self._next += 1
        else:
            self._total = leaf if self._total is None else self._total.add_(leaf)

    def _leaf(self) -> torch.Tensor:
        # Adding zero makes a negative zero a positive one, as it is where other workers' zeros are added.
        return torch.cat([_gradient(p).reshape(-1) for p in self._trained.values()]).add_(0.0)

    def _forget(self) -> None:
        for parameter in self._trained.values():
            parameter.grad = None


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


class ShardSums:
    """Several workers: FSDP2 gathers parameters for each unit and sends gradients to their owners.

    Args:
        module: a new copy of the model, taken over.
        skeleton: of the model.
        parts: this worker's rows of all parameters, on the device.
        buffers: of the module, taken over.
        group: the workers.
        exact: add in the tree's order.
        smallest_unit: in bytes.
    """

    def __init__(
        self,
        module: nn.Module,
        skeleton: Skeleton,
        parts: Tensors,
        buffers: Tensors,
        group: Group,
        *,
        exact: bool,
        smallest_unit: int,
    ) -> None:
        assert group.handle is not None, "more than one worker have a process group"
        self.module = module
        self._group, self._exact, self._begun = group, exact, False
        self._mesh = DeviceMesh.from_group(group.handle, group.device.type)
        self._scatters: list[Scatter] = []
        for unit in (*units(self.module, smallest_unit), self.module):
            self._shard(unit)
        register_fsdp_forward_method(_with_runner(self.module), _FORWARD)
        self._shapes = {name: p.shape for name, p in skeleton.parameters.items()}
        flags = skeleton.parameters
        parameters = {
            name: nn.Parameter(self.saved(name, part), requires_grad=flags[name].requires_grad)
            for name, part in parts.items()
        }
        skeleton.fill(self.module, parameters, buffers)
        self._parameters = cast("dict[str, DTensor]", parameters)

    @property
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """This worker's rows."""
        return {name: cast("DTensor", p.detach()).to_local() for name, p in self._parameters.items()}

    def saved(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """A DTensor."""
        shape = self._shapes[name]
        stride = torch.empty(shape, device="meta").stride()
        return DTensor.from_local(part, self._mesh, (Shard(0),), run_check=False, shape=shape, stride=stride)

    def call(self, function: Callable[[], T]) -> T:
        """As a forward of the root, which gathers what belongs to no unit."""
        with breaking():
            found = getattr(self.module, _FORWARD)(function)
            if not torch.is_grad_enabled():
                self._root().reshard()
        return cast(T, found)

    def begin_step(self, count: int, filled: int) -> None:
        """Forget the step before, whether it ended or broke off."""
        if self._begun:
            self._root().reset_iter_state()
        self._begun = True
        for scatter in self._scatters:
            scatter.begin(count)
        self._filled, self._first = filled, 0

    @contextmanager
    def slice_pass(self, index: int | None, *, last: bool, ends: bool) -> Iterator[None]:
        """All workers' passes are one: worker r's is of slice `first + r`."""
        for scatter in self._scatters:
            scatter.ghost = index is None
        with breaking():
            yield
        if not ends:
            return
        forget = self._exact and not last
        for scatter in self._scatters:
            scatter.close_slices(self._first, self._filled, forget=forget)
        self._first += self._group.size
        if forget:
            for parameter in self._parameters.values():
                parameter.grad = None

    def gradients(self, scale: float) -> Tensors:
        """This worker's rows."""
        for scatter in self._scatters:
            scatter.finish()
        found = {n: cast(DTensor, p.grad).to_local() for n, p in self._parameters.items() if p.grad is not None}
        if found:
            torch._foreach_mul_(list(found.values()), scale)
        return found

    def _root(self) -> FSDPModule:
        return cast(FSDPModule, self.module)

    def _shard(self, unit: nn.Module) -> None:
        sharded: Any = fully_shard(unit, mesh=self._mesh)
        scatter = Scatter(self._group, exact=self._exact)
        sharded.set_custom_all_gather(Gather(self._group))
        sharded.set_custom_reduce_scatter(scatter)
        sharded.set_reduce_scatter_unused_params(True, recurse=False)
        self._scatters.append(scatter)


def _with_runner(module: nn.Module) -> nn.Module:
    """Give the root a method that runs any function, for FSDP2 to gather its parameters around."""

    def run(function: Callable[[], T]) -> T:
        return function()

    setattr(module, _FORWARD, run)
    return module
