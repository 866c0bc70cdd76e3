"""Who holds which part of the state after which step, and which step all living workers together still hold whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from orchestrator.training.group import Group
from orchestrator.training.layout.protocol import StateLost, Tensors

_MOST = 4
"""Holdings that one worker has at most: the live one, and mirrors of two steps; one to spare."""
_PARTS = 2
"""Parts in one holding: a worker's own and its neighbour's."""


@dataclass(frozen=True)
class Holding:
    """Parts of the state after one step, in one layout.

    Attributes:
        steps: after how many.
        epoch: of the view whose layout it is; 0: the untouched initial state.
        size: into how many parts it is cut.
        parts: those that this worker holds, by their place.
    """

    steps: int
    epoch: int
    size: int
    parts: Mapping[int, Tensors]

    @property
    def name(self) -> tuple[int, int, int]:
        """Equal for holdings of different workers that fit together; the largest is the newest."""
        return self.steps, self.epoch, self.size


@dataclass(frozen=True)
class Chosen:
    """The newest state that is still whole.

    Attributes:
        name: of its holdings.
        holders: of each part the ranks that hold it.
    """

    name: tuple[int, int, int]
    holders: tuple[tuple[int, ...], ...]


def choose(group: Group, holdings: Sequence[Holding]) -> Chosen:
    """Tell all workers what this one holds, and find the newest state that is whole.

    The initial state, which every new worker brings along, counts only where nobody has trained.

    Raises:
        StateLost: on every worker.
    """
    return newest(table.tolist() for table in group.all_gather(table_of(holdings).to(group.device)).cpu())


def table_of(holdings: Sequence[Holding]) -> torch.Tensor:
    """Names and parts, as one worker tells the others."""
    assert len(holdings) <= _MOST, "older mirrors are dropped"
    table = torch.full((_MOST, 3 + _PARTS), -1, dtype=torch.int64)
    for row, holding in zip(table, holdings, strict=False):
        row[:3] = torch.tensor(holding.name)
        row[3 : 3 + len(holding.parts)] = torch.tensor(sorted(holding.parts))
    return table


def newest(tables: Iterable[list[list[int]]]) -> Chosen:
    """The newest whole state of what all workers have told, by rank.

    Raises:
        StateLost: there is none.
    """
    found: dict[tuple[int, int, int], dict[int, list[int]]] = {}
    for rank, table in enumerate(tables):
        for steps, epoch, size, *parts in table:
            for part in parts:
                if part >= 0:
                    found.setdefault((steps, epoch, size), {}).setdefault(part, []).append(rank)
    trained = any(epoch > 0 for _, epoch, _ in found)
    whole = [name for name, parts in found.items() if len(parts) == name[2] and (name[1] > 0 or not trained)]
    if not whole:
        raise StateLost("parts of the state were held only by workers that are gone")
    name = max(whole)
    return Chosen(name, tuple(tuple(dict.fromkeys(found[name][part])) for part in range(name[2])))
