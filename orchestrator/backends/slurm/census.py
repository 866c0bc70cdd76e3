"""Nodes and partitions as they were counted last; counted anew once a minute while somebody asks."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from orchestrator.backends.slurm import inventory
from orchestrator.backends.slurm.budget import Budget
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.inventory import NodeRow, PartitionRow
from orchestrator.backends.slurm.tables import Table
from orchestrator.base.clock import Clock
from orchestrator.base.errors import BackendUnavailable

_LOG = logging.getLogger(__name__)
_TRIES = 10
"""So many counts may fail before the last good one is good for nothing."""
_DENIED = "permission denied"
_PARTITIONS_EVERY = 10
"""Partitions hardly ever change: so many counts of the nodes to one of them."""

R = TypeVar("R")


class _Count(Generic[R]):
    """The rows of one kind."""

    def __init__(self, what: str, read: Callable[[], Table[R]], every: float) -> None:
        self.what = what
        self.read = read
        self.every = every
        self.rows: tuple[R, ...] | None = None
        self.error: BackendUnavailable | None = None
        self.tried = -math.inf
        self.counted = -math.inf
        self.counted_at: float | None = None
        self.asked = -math.inf


class Census:
    """Nodes and partitions. Threads may ask; one thread counts.

    Args:
        slurm: the programs.
        every: seconds between two counts.
        clock: what time it is.
    """

    def __init__(self, slurm: Slurm, every: float, clock: Clock) -> None:
        self._slurm = slurm
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._budget = Budget(every, burst=2)
        self._hidden = False
        self._nodes = _Count("nodes", self._read_nodes, every)
        self._partitions = _Count("partitions", self._read_partitions, every * _PARTITIONS_EVERY)

    def nodes(self) -> tuple[NodeRow, ...] | None:
        """All nodes; None where they have not been counted yet.

        Raises:
            BackendUnavailable: Slurm has not told for long.
        """
        return self._known(self._nodes)

    def partitions(self) -> tuple[PartitionRow, ...] | None:
        """All partitions; None where they have not been counted yet.

        Raises:
            BackendUnavailable: Slurm has not told for long.
        """
        return self._known(self._partitions)

    def counted_at(self) -> float | None:
        """When the nodes were counted last, in seconds since the epoch; None where they were not yet."""
        with self._lock:
            return self._nodes.counted_at

    def due(self, now: float) -> float:
        """Seconds until the next count; infinite where nobody asks."""
        with self._lock:
            wait = min(self._wait(self._nodes, now), self._wait(self._partitions, now))
            return wait if math.isinf(wait) else max(wait, self._budget.wait(now))

    def count(self, now: float) -> None:
        """Count what is due: one of them, so that there is no more than one question at a time."""
        with self._lock:
            self._budget.spend(now)
            partitions_due = self._wait(self._partitions, now) <= 0
            nodes_first = not partitions_due or (
                self._wait(self._nodes, now) <= 0 and self._nodes.tried <= self._partitions.tried
            )
        if nodes_first:
            self._take(self._nodes, now)
        else:
            self._take(self._partitions, now)

    def _wait(self, count: _Count[R], now: float) -> float:
        if now - count.asked > 2 * self._every:
            return math.inf
        if count.rows is None:  # waited for: tried again sooner
            return count.tried + self._every / 6 - now if count.error else 0.0
        return max(0.0, count.tried + (self._every if count.error else count.every) - now)

    def _take(self, count: _Count[R], now: float) -> None:
        table, error = self._read(count)
        with self._lock:
            count.tried, count.error = now, error
            if table is not None:
                count.rows, count.counted, count.counted_at = table.rows, now, self._clock.now()

    def _read(self, count: _Count[R]) -> tuple[Table[R] | None, BackendUnavailable | None]:
        try:
            table = count.read()
        except BackendUnavailable as error:
            return None, error
        except Exception as failed:  # what Slurm prints is foreign; the last good count stands
            _LOG.exception("a count of Slurm's %s failed", count.what)
            return None, BackendUnavailable(
                f"scontrol show {count.what}: its answer cannot be taken in: {failed}", hint="see the server's log"
            )
        if table.garbled:
            _LOG.warning("of the %s that scontrol shows, some cannot be read: %s", count.what, table.garbled[0])
            if not table.rows:
                return None, BackendUnavailable(
                    f"scontrol show {count.what}: its answer cannot be read: {table.garbled[0]}",
                    hint=f"run it by hand on the server's machine: scontrol --oneliner show {count.what}",
                )
        return table, None

    def _show(self, what: str) -> str:
        return self._slurm.read("scontrol", "--all", "--details", "--oneliner", "show", what).out

    def _read_nodes(self) -> Table[NodeRow]:
        if not self._hidden:
            try:
                return inventory.nodes(self._show("nodes"))
            except BackendUnavailable as error:
                if _DENIED not in error.message.lower():
                    raise
                self._hidden = True
                _LOG.warning(
                    "Slurm hides its nodes from this user (PrivateData); those of a partition are taken for equal"
                )
        return inventory.presumed_nodes(self._show("partitions"))

    def _read_partitions(self) -> Table[PartitionRow]:
        return inventory.partitions(self._show("partitions"))

    def _known(self, count: _Count[R]) -> tuple[R, ...] | None:
        now = self._clock.monotonic()
        with self._lock:
            count.asked = now
            if count.error is not None and now - count.counted > count.every + _TRIES * self._every:
                raise count.error
            return count.rows
