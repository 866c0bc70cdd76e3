"""Parameters cut into rows over the workers (parallel: fsdp) by torch's FSDP2, exact over all numbers of workers."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from orchestrator.training.group import Group
from orchestrator.training.layout import fixedpoint
from orchestrator.training.layout.holdings import Holding, choose
from orchestrator.training.layout.mirror import mirror
from orchestrator.training.layout.protocol import Arrival, Tensors
from orchestrator.training.layout.reshard import reshard
from orchestrator.training.layout.shards import Item, Resharding
from orchestrator.training.layout.skeleton import PREFIX, UNIT_BYTES, Skeleton, compile_units
from orchestrator.training.layout.sums import AloneSums, ShardSums, Sums

if TYPE_CHECKING:
    from orchestrator.training.config import TrainConfig

T = TypeVar("T")


class ShardedLayout:
    """One training's parameters, of which each worker has some rows. `protocol.Layout` says what its methods promise.

    A worker alone trains the plain module. The model is built anew for each view. Copies of each worker's part lie in
    its own and in the next worker's host memory, so that after a loss all go back to the newest step whose parts are
    all alive: at most one step is made again where every step is mirrored.

    Args:
        model: with its first parameters, the same on every worker; its tensors are taken over.
        config: of the training.
        mirror_every: steps between copies; more costs less, and loses more steps with a worker.
        smallest_unit: bytes of parameters that FSDP2 gathers by themselves.
    """

    needs_leavers = True
    runs_ghosts = True

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        *,
        mirror_every: int = 1,
        smallest_unit: int = UNIT_BYTES,
    ) -> None:
        self._skeleton = Skeleton(model)
        self._exact, self._compile = config.exact, config.compile
        self._mirror_every, self._smallest_unit = mirror_every, smallest_unit
        self._model = model
        self._whole = {PREFIX + name: p.detach().contiguous() for name, p in model.named_parameters()}
        self._whole |= {PREFIX + name: b.detach() for name, b in model.named_buffers()}
        self._place = (0, 1, 0)  # rank, size and epoch of the layout that the state is in
        self._group: Group | None = None
        self._sums: Sums | None = None
        self._mirrors: tuple[Holding, ...] = ()
        self._steps, self._changed = 0, False
        self._gradients: Tensors = {}
        self._undelivered: Tensors = {}  # what `enter` would have returned, had no worker been lost in it

    @property
    def model(self) -> nn.Module:
        """Of the newest view."""
        return self._model

    @property
    def steps(self) -> int:
        """After how many steps the state is."""
        return self._steps

    def parameters(self) -> Mapping[str, torch.Tensor]:
        """This worker's rows of what is trained."""
        own = self._own_parameters()
        return {name: own[name] for name in self._skeleton.trainable}

    def gradients(self) -> Mapping[str, torch.Tensor]:
        """This worker's rows of the mean gradient."""
        return self._gradients

    def enter(self, arrival: Arrival, group: Group | None, state: Tensors) -> Tensors:
        """Find the newest step that is whole, give each member its rows of it, and keep the old ones for a while."""
        state = self._undelivered or state
        live = Holding(self._steps, self._place[2], self._place[1], {self._place[0]: self._live(state)})
        # What was being changed when a worker was lost is neither of one step nor of the next.
        holdings = [*self._mirrors] if self._changed else [*self._mirrors, live]
        chosen = choose(arrival.group, holdings)
        items = self._items(state)
        plan = Resharding(chosen.holders, arrival.members)
        held = {place: part for h in holdings if h.name == chosen.name for place, part in h.parts.items()}
        found = reshard(arrival.group, items, plan, held)
        arrival.group.any(False)  # nobody lets go of the old layout before all have the new one
        self._mirrors = tuple(h for h in holdings if h.name == chosen.name)
        self._steps, self._changed = chosen.name[0], False
        if arrival.group.rank >= arrival.members:
            return state
        self._whole = {key: tensor for key, tensor in found.items() if key.startswith(PREFIX)}
        self._place = (arrival.group.rank, arrival.members, arrival.group.epoch)
        self._sums = None
        self._undelivered = {key: found[key] for key in state}
        assert group is not None, "members have a group"
        self._settle(group)
        state, self._undelivered = self._undelivered, {}
        return state

    def abandon(self) -> None:
        """Take the tensors out of FSDP2's module, whose mesh holds on to the group."""
        if self._sums is not None:
            self._whole = self._live({})
            self._sums, self._model = None, self._skeleton.hollow
        self._group, self._gradients = None, {}
        gc.collect()  # FSDP2's objects refer to each other

    def call(self, function: Callable[[], T]) -> T:
        """Parameters are gathered around it."""
        return self._settled().call(function)

    def committed(self, steps: int, state: Tensors) -> None:
        """Mirror where it is due."""
        self._steps, self._changed = steps, False
        if steps % self._mirror_every == 0:
            self._mirror(state)

    def passes(self, count: int, filled: int) -> tuple[int | None, ...]:
        """Worker r runs slice p W + r in pass p; all have the same number of passes."""
        group = self._members()
        starts = range(0, filled, group.size)
        return tuple(start + group.rank if start + group.rank < filled else None for start in starts)

    def begin_step(self, count: int, filled: int) -> None:
        """Forget the step before, whether it was committed or abandoned."""
        self._gradients = {}
        self._settled().begin_step(count, filled)

    @contextmanager
    def slice_pass(self, index: int | None, *, last: bool, ends: bool = True) -> Iterator[None]:
        """All workers' passes are one."""
        with self._settled().slice_pass(index, last=last, ends=ends):
            yield

    def reduce(self, scale: float) -> None:
        """Finish the sums; every worker has made the commit before, and so older mirrors are not needed any more."""
        found = self._settled().gradients(scale)
        own = self.parameters()
        self._gradients = {name: found.get(name, torch.zeros_like(part)) for name, part in own.items()}
        self._mirrors, self._changed = self._mirrors[-1:], True

    def squared_norms(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Integers are added: their sum has no order."""
        return fixedpoint.squared_norms(self._members(), tensors.values())

    def checkpointed(self, state: Tensors) -> dict[str, torch.Tensor]:
        """DTensors of several workers; whole tensors of one."""
        live = self._live(state)
        names = {PREFIX + name: PREFIX + self._skeleton.canonical(name) for name in self._skeleton.saved}
        kept = {key: live[own] for key, own in names.items()} | {key: live[key] for key in state}
        return {key: self._saved(key, tensor) for key, tensor in kept.items()}

    def _settle(self, group: Group) -> None:
        """Build the model for this group, and mirror its parts."""
        self._group = group
        skeleton, smallest = self._skeleton, self._smallest_unit
        parameters = {name: self._whole[PREFIX + name] for name in skeleton.parameters}
        buffers = {name: self._whole[PREFIX + name] for name in skeleton.buffers}
        self._model = skeleton.build()
        if self._compile:
            compile_units(self._model, smallest)
        self._sums = (
            AloneSums(self._model, skeleton, parameters, buffers, exact=self._exact)
            if group.size == 1
            else ShardSums(self._model, skeleton, parameters, buffers, group, exact=self._exact, smallest_unit=smallest)
        )
        self._whole = {}
        self._mirror(self._undelivered)

    def _saved(self, key: str, tensor: torch.Tensor) -> torch.Tensor:
        item = self._skeleton.item(key, tensor)
        return self._settled().saved(self._skeleton.canonical(item.name), tensor) if item.sharded else tensor

    def _live(self, state: Tensors) -> Tensors:
        """All tensors that this worker has now, by key."""
        parameters = {PREFIX + name: tensor for name, tensor in self._own_parameters().items()}
        buffers = {PREFIX + name: tensor.detach() for name, tensor in self._own_buffers().items()}
        return {**parameters, **buffers, **state}

    def _own_parameters(self) -> Mapping[str, torch.Tensor]:
        if self._sums is not None:
            return self._sums.tensors
        return {name: self._whole[PREFIX + name] for name in self._skeleton.parameters}

    def _own_buffers(self) -> Mapping[str, torch.Tensor]:
        if self._sums is not None:
            return dict(self._sums.module.named_buffers())
        return {name: self._whole[PREFIX + name] for name in self._skeleton.buffers}

    def _items(self, state: Tensors) -> list[Item]:
        return [self._skeleton.item(key, tensor) for key, tensor in sorted(self._live(state).items())]

    def _mirror(self, state: Tensors) -> None:
        group = self._members()
        if group.size == 1:
            self._mirrors = ()
            return
        self._mirrors = (*self._mirrors[-2:], mirror(group, self._items(state), self._live(state), self._steps))

    def _members(self) -> Group:
        assert self._group is not None, "a layout is used after `enter`, by members"
        return self._group

    def _settled(self) -> Sums:
        assert self._sums is not None, "a layout is used after `enter`, by members"
        return self._sums
