"""A split, or a mixture, as a torch IterableDataset that makes batches: the same for any number of loader processes.

The global batch of a step is a function of (seed, epoch, step) alone. Rank r of W takes the r-th of W contiguous shares
of it; loader process w of n makes steps w, w + n, ..., which is the order in which a DataLoader asks for them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from orchestrator.base.errors import Conflict, DataError, UsageError
from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.batches import BatchPlan, Last
from orchestrator.data.damage import OnCorrupt
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.mixed_dataset import MixtureOf, open_rows
from orchestrator.data.torch_columns import Batch, column_of
from orchestrator.data.torch_place import At, Place, loader_process
from orchestrator.data.transform import Transform
from orchestrator.data.workers import look_ahead

POSITION, ROW, PART, REAL, SKIPPED = "position", "row", "part", "real", "skipped"
"""What a batch can have beside the dataset's columns: where each sample stands in the epoch's order and in the split or
the mixture, which dataset of the mixture it is from, whether it counts (of `last="pad"`), and the rows that were left
out of this batch (of `on_corrupt="skip"`). With `last="wrap"` the last positions are past the end of the order."""

State = dict[str, Any]

_BESIDE = (POSITION, ROW, PART)

_AS_IT_IS = Transform(3, (0.0,) * 3, (1.0,) * 3)


class ShardedIterable(IterableDataset[Batch]):
    """Batches of a split, or of several mixed.

    Give it to `torch_loader.data_loader`.

    A plain DataLoader gives the same batches, with `batch_size=None` only: with any other it would stack them. But it
    does not say which ones it has handed out, so that with loader processes there is no state to resume from.

    A batch is a dictionary of the fields: images as a tensor (n, C, H, W) with channels last in memory, other columns
    as `torch_columns.column_of` has them. Picklable; every process opens the files itself.

    Args:
        location: the dataset's folder or URL, or which datasets to mix.
        split: which split; of a mixture: of each part that names no other.
        batch_size: samples of the global batch, of all ranks together.
        transform: what happens to images; None: nothing is decoded, and they come encoded.
        options: order, seed, and so on; its `workers` are used where no loader process is.
        fields: columns of the batch; `position`, `row` and `part` can be asked for as well.
        last: what becomes of an epoch's last batch where it is not whole: `keep`, `drop`, `pad` or `wrap`.
        rank: which share of the global batch.
        world_size: how many shares.
        on_corrupt: see `ShardedDataset`.

    Raises:
        UsageError: rank, batch or fields are none; or see `MixedDataset`.
        DataError, NotFound: there is no such dataset, split or column.
    """

    def __init__(
        self,
        location: Path | str | MixtureOf,
        split: str,
        *,
        batch_size: int,
        transform: Transform | None = None,
        options: LoaderOptions | None = None,
        fields: tuple[str, ...] = ("image", "label"),
        last: Last = "keep",
        rank: int = 0,
        world_size: int = 1,
        on_corrupt: OnCorrupt = "fail",
    ) -> None:
        if not 0 <= rank < world_size:
            raise UsageError(f"rank {rank} is none of {world_size}")
        self.location, self.split, self.on_corrupt = location, split, on_corrupt
        self.batch_size, self.last, self.rank, self.world_size = batch_size, last, rank, world_size
        self.transform, self.options, self.fields = transform, options or LoaderOptions(), fields
        self.place = Place()
        self._opened: tuple[int, BatchLoader] | None = None
        for name in fields:
            if name not in _BESIDE:
                self.loader.dataset.column(name)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def __len__(self) -> int:
        """Steps of the epoch, before the one that it is resumed at too."""
        return self._steps(self.epoch)

    @property
    def loader(self) -> BatchLoader:
        """What reads the split in this process."""
        if self._opened is None or self._opened[0] != os.getpid():  # descriptors and threads do not cross a fork
            dataset = open_rows(self.location, self.split, self.on_corrupt)
            options = self.options if self.options.label in self.fields else replace(self.options, label="")
            alone = loader_process() is None  # a loader process has no worker processes of its own
            options = options if alone else replace(options, workers=0, cache_bytes=0)
            self._opened = os.getpid(), BatchLoader(dataset, self.transform or _AS_IT_IS, options)
        return self._opened[1]

    @property
    def epoch(self) -> int:
        """The epoch that is iterated next, or now."""
        return self.place.epoch

    def plan(self, epoch: int) -> BatchPlan:
        """How an epoch is cut into global batches."""
        return BatchPlan(self.loader.order(epoch).positions, self.batch_size, self.last)

    def set_epoch(self, epoch: int) -> None:
        """Iterate this epoch next, from its start; the epoch that a state was loaded of goes on where that was.

        To be called between iterations, not during one.
        """
        self.place.set_epoch(epoch)

    def state_dict(self) -> State:
        """Where the iteration stands; a loader process's own state tells whose it is.

        Raises:
            Conflict: loader processes of a plain DataLoader make the batches.
        """
        epoch, step = self.place.now()
        return {"epoch": epoch, "step": step, "loader": loader_process(), "of": self._identity()}

    def load_state_dict(self, state: State) -> None:
        """Go on where a state was taken, with any number of loader processes and of ranks.

        After the state of an epoch's end, the next epoch comes; or nothing, where `set_epoch` names the one that ended.

        Raises:
            UsageError: it is no state.
            Conflict: it belongs to another order (other data, another seed, shuffle or batch size) or loader process.
        """
        if state.get("of", self._identity()) != self._identity():
            raise Conflict(
                f"the state is of another order of samples: {state['of']}, not {self._identity()}",
                hint="resume with the data, seed, shuffle and batch size that it was taken with",
            )
        self.place.load(state, self._steps)

    def begin(self) -> At:
        """An iteration begins in this process: its epoch and first step."""
        return self.place.begin(self._steps)

    def __iter__(self) -> Iterator[Batch]:
        return self._batches(*self.begin())

    def _batches(self, epoch: int, first: int) -> Iterator[Batch]:
        process, plan = loader_process(), self.plan(epoch)
        stride = 1 if process is None else process[1]
        for step in range(first, plan.steps, stride):
            batch = self._batch(plan, step, epoch, alone=process is None)
            self.place.advance(epoch, step + stride)
            yield batch

    def _steps(self, epoch: int) -> int:
        return self.plan(epoch).steps

    def _identity(self) -> str:
        options, dataset = self.options, self.loader.dataset
        order = f"{options.shuffle} {options.resample} seed {options.seed}, {self.last} batches of {self.batch_size}"
        return f"{dataset.version} {self.split}, {order}"

    def _share(self, batch: AnyArray) -> AnyArray:
        return np.array_split(batch, self.world_size)[self.rank]

    def _batch(self, plan: BatchPlan, step: int, epoch: int, *, alone: bool) -> Batch:
        """This rank's share of a global batch."""
        loader, positions = self.loader, self._share(plan.positions(step))
        if alone:
            coming = range(step, min(step + look_ahead(self.options.workers), plan.steps))
            loader.expect([(epoch, self._share(plan.positions(each))) for each in coming])
        batch, places = self._columns(positions, epoch)
        if self.last == "pad":
            counts = np.arange(len(plan.positions(step))) < plan.real(step)
            batch[REAL] = torch.from_numpy(self._share(counts)[places])
        if self.on_corrupt == "skip":
            left_out = np.delete(positions, places)
            batch[SKIPPED] = torch.from_numpy(np.unique(loader.order(epoch).rows_at(left_out)))
        return batch

    def _columns(self, positions: Int64s, epoch: int) -> tuple[Batch, Int64s]:
        """The fields of the samples at `positions` (N,), and the places (n,) of those that are whole."""
        options, dataset = self.options, self.loader.dataset
        found: Batch = {}
        if self.transform is not None and options.image in self.fields:
            made = self.loader.samples(positions, epoch)
            found[options.image] = torch.from_numpy(made.images)
            rows, places = made.rows, made.places
        else:
            rows = self.loader.order(epoch).rows_at(positions)
            rows, places = self._read(rows, found)
        if options.label in self.fields:
            found[options.label] = torch.from_numpy(self.loader.labels(rows))
        found |= {POSITION: torch.from_numpy(positions[places]), ROW: torch.from_numpy(rows)}
        found[PART] = torch.from_numpy(dataset.parts_of(rows)[0])
        if not found.keys() >= set(self.fields):
            whole, _ = self._read(rows, found)
            if len(whole) != len(rows):
                raise DataError(f"records of {', '.join(dataset.part_names)} were damaged while they were read")
        return {name: found[name] for name in self.fields}, places

    def _read(self, rows: Int64s, found: Batch) -> tuple[Int64s, Int64s]:
        """Add the columns that `found` lacks; the rows (n,) that are whole, and their places in `rows` (N,)."""
        dataset = self.loader.dataset
        read = dataset.read_many(rows)
        for name in set(self.fields) - found.keys() - {*_BESIDE, self.options.label}:
            found[name] = column_of(dataset.schema.column(name), read)
        return read.rows, np.flatnonzero(~np.isin(rows, read.skipped))
