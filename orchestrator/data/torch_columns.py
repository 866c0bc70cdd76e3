"""Columns of a dataset as torch tensors: one tensor where values have one size, ragged ones where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from orchestrator.data.arrays import AnyArray
from orchestrator.data.reader import Rows
from orchestrator.data.schema import LISTS, Column, decode_value

_BOX = 4
_TEXT = ("text", "text_list", "masks")


class Ragged(NamedTuple):
    """Values of different lengths in one tensor, so that a batch of them crosses processes as one piece.

    Attributes:
        values: of all samples, one after the other (T,), or (T, 4) of boxes.
        offsets: (n + 1,) int64: sample i has values[offsets[i] : offsets[i + 1]].
    """

    values: torch.Tensor
    offsets: torch.Tensor

    def rows(self) -> list[torch.Tensor]:
        """One tensor for each sample, a view."""
        return list(torch.split(self.values, self.offsets.diff().tolist()))


Batch = dict[str, Any]
"""A tensor, a `Ragged` or a list by the name of its column."""


def column_of(column: Column, found: Rows) -> torch.Tensor | Ragged | list[Any]:
    """The values (n,) of a column.

    Returns:
        Of an 8-byte column a tensor (n,); of lists of numbers and of encoded bytes a `Ragged`; of texts a list of str,
        of tags a list of lists of str, of masks a list of lists of bytes.
    """
    if column.fixed:
        return torch.from_numpy(np.array(found.values[column.name]))
    parts = [found.values[part] for part in column.parts]
    if column.kind in _TEXT:
        values = [decode_value(column, *one) for one in zip(*parts, strict=True)]
        return [[bytes(mask) for mask in masks] for masks in values] if column.kind == "masks" else values
    kind = np.dtype(LISTS.get(column.kind, "u1"))
    ragged = joined(parts[0], kind)
    if column.kind != "boxes":
        return ragged
    return Ragged(ragged.values.view(-1, _BOX), ragged.offsets // _BOX)


def joined(views: Sequence[memoryview] | AnyArray, kind: np.dtype[Any]) -> Ragged:
    """Encoded values, copied once, into one tensor."""
    lengths = [len(view) // kind.itemsize for view in views]
    offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64)
    torch.cumsum(torch.tensor(lengths, dtype=torch.int64), 0, out=offsets[1:])
    content = bytearray().join(views)
    return Ragged(torch.from_numpy(np.frombuffer(content, dtype=kind)), offsets)


def host_tensor(array: AnyArray, *, pinned: bool) -> torch.Tensor:
    """A tensor on an array; a copy in pinned memory where a GPU is to fetch it without anybody waiting."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if pinned else tensor


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch with its tensors on a device; from pinned memory nobody waits for the copies. Lists stay."""
    return {name: _moved(value, device) for name, value in batch.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Ragged):
        return Ragged(*(part.to(device, non_blocking=True) for part in value))
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
