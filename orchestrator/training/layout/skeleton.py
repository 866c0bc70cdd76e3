"""A model without its numbers: copies are made from it for each view, and divided into the units that are sharded."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.training.layout.protocol import Tensors
from orchestrator.training.layout.shards import Item, name_of

UNIT_BYTES = 1 << 20
"""Modules with fewer bytes of parameters are gathered together with what is around them."""

PREFIX = "model/"


class Skeleton:
    """Structure, names, shapes and flags of a model, on the meta device.

    Args:
        model: keeps its numbers; nothing of it is kept here.

    Attributes:
        hollow: the model on the meta device.
        parameters: of it, by their first names.
        buffers: of it, by name.
        saved: names that a checkpoint has, second names of parameters included.

    Raises:
        UsageError: it cannot be sharded.
    """

    def __init__(self, model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            _refuse_unfit(name, parameter)
        hollow: dict[int, object] = {id(p): _hollow(p) for p in model.parameters()}
        hollow |= {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
        self.hollow = copy.deepcopy(model, hollow)
        self._aliases = {
            name: own for own, names in _names_by_parameter(self.hollow).items() for name in names if name != own
        }
        self.parameters = dict(self.hollow.named_parameters())
        self.buffers = dict(self.hollow.named_buffers())
        self.saved = tuple(self.hollow.state_dict())

    @property
    def trainable(self) -> tuple[str, ...]:
        """Names of what the optimizer updates."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.requires_grad)

    def canonical(self, name: str) -> str:
        """The first name of a parameter that has several."""
        return self._aliases.get(name, name)

    def item(self, key: str, part: torch.Tensor) -> Item:
        """What a key of the state means: `model/…`, `optimizer/<slot>/…`, `ema/…`; of parameters it is sharded.

        Args:
            key: of the state.
            part: this worker's part of it, or another tensor of its type; of its shape where it is no parameter's.
        """
        parameter = self.parameters.get(self.canonical(name_of(key)))
        if parameter is not None:
            return Item(key, tuple(parameter.shape), part.dtype, sharded=True)
        return Item(key, tuple(part.shape), part.dtype, sharded=False)

    def build(self) -> nn.Module:
        """A new copy, without numbers."""
        return copy.deepcopy(self.hollow)

    def fill(self, module: nn.Module, parameters: Mapping[str, nn.Parameter], buffers: Tensors) -> None:
        """Give a copy its numbers; parameters that have several names stay one.

        Args:
            module: from `build`.
            parameters: by name.
            buffers: by name.
        """
        names = [*parameters, *(alias for alias, own in self._aliases.items() if own in parameters)]
        module.load_state_dict({name: parameters[self.canonical(name)] for name in names}, strict=False, assign=True)
        for name, owner, leaf in _places(module):
            owner._buffers[leaf] = buffers[name]


def units(module: nn.Module, smallest: int = UNIT_BYTES) -> list[nn.Module]:
    """What is gathered and freed by itself: the modules in containers that hold `smallest` bytes; inner ones first.

    A parameter with several names belongs to no unit but the root.
    """
    found = [child for child in _candidates(module) if _bytes(child) >= smallest]
    return [child for child in found if not _shares(module, child)]


def compile_units(module: nn.Module, smallest: int = UNIT_BYTES) -> None:
    """Compile what is gathered by itself; the whole where there is no such unit. FSDP2's own work stays outside."""
    for unit in units(module, smallest) or [module]:
        unit.compile()


def _candidates(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList) or not isinstance(module, nn.Sequential | nn.ModuleList):
            yield from _candidates(child)
        elif any(True for _ in child.parameters()):
            yield child


def _bytes(module: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def _shares(module: nn.Module, child: nn.Module) -> bool:
    inside = {id(parameter) for parameter in child.parameters()}
    names = [name for name, p in module.named_parameters(remove_duplicate=False) if id(p) in inside]
    return len(names) > sum(1 for _ in child.named_parameters(remove_duplicate=False))


def _refuse_unfit(name: str, parameter: nn.Parameter) -> None:
    if not parameter.ndim:
        raise UsageError(
            f"the parameter {name} has no dimension, and cannot be cut into rows",
            hint="give it the shape (1,), or train with parallel: ddp",
        )


def _hollow(parameter: nn.Parameter) -> nn.Parameter:
    empty = torch.empty(parameter.shape, dtype=parameter.dtype, device="meta")
    return nn.Parameter(empty, requires_grad=parameter.requires_grad)


def _names_by_parameter(module: nn.Module) -> dict[str, list[str]]:
    by_id: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        by_id.setdefault(id(parameter), []).append(name)
    return {names[0]: names for names in by_id.values()}


def _places(module: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Of each buffer its name, its module and its name there."""
    for prefix, owner in module.named_modules():
        for leaf, buffer in owner._buffers.items():
            if buffer is not None:
                yield f"{prefix}.{leaf}" if prefix else leaf, owner, leaf
