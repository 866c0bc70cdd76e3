"""A DataLoader of a `ShardedIterable`, with the right settings, whose state is exact with any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from orchestrator.data.row_reader import by_part
from orchestrator.data.torch_columns import Batch
from orchestrator.data.torch_dataset import SKIPPED, ShardedIterable, State


class ResumableLoader(DataLoader[Batch]):
    """A DataLoader that knows which batches it handed out, whatever its processes have made ahead.

    Args:
        iterable: makes the batches.
        workers: loader processes; they are kept over epochs.
        pin_memory: batches lie in pinned memory, so that a copy to a GPU needs no wait.
        prefetch: batches that each process makes ahead.
    """

    dataset: ShardedIterable

    def __init__(self, iterable: ShardedIterable, *, workers: int, pin_memory: bool, prefetch: int) -> None:
        remote = iterable.loader.dataset.remote
        super().__init__(
            iterable,
            batch_size=None,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            prefetch_factor=prefetch if workers else None,
            # A remote store has threads, and a fork of a process with threads can wait for ever for one of their locks.
            multiprocessing_context="forkserver" if workers and remote else None,
        )
        iterable.place.counted = True
        self.skipped_rows: set[int] = set()

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self.num_workers:  # without any, the dataset begins by itself
            self.dataset.begin()
        made = super().__iter__()
        return self._handed_out(made, *self.dataset.place.now())

    def _handed_out(self, made: Iterator[Batch], epoch: int, step: int) -> Iterator[Batch]:
        for batch in made:
            step += 1
            self.dataset.place.advance(epoch, step)
            self.skipped_rows.update(batch[SKIPPED].tolist() if SKIPPED in batch else ())
            yield batch

    @property
    def skipped_by_part(self) -> dict[str, tuple[int, ...]]:
        """The rows that were left out of the batches handed out, by the name of the dataset that they are from."""
        return by_part(self.dataset.loader.dataset, self.skipped_rows)

    def set_epoch(self, epoch: int) -> None:
        """See `ShardedIterable.set_epoch`."""
        self.dataset.set_epoch(epoch)

    def state_dict(self) -> State:
        """(epoch, step) after the last batch that was handed out."""
        return self.dataset.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Go on there; see `ShardedIterable.load_state_dict`."""
        self.dataset.load_state_dict(state)


def data_loader(
    iterable: ShardedIterable, workers: int = 0, pin_memory: bool | None = None, *, prefetch: int = 2
) -> ResumableLoader:
    """A DataLoader of batches.

    Args:
        iterable: makes them.
        workers: loader processes of torch; the batches do not depend on them. Without any, `LoaderOptions.workers` of
            the iterable are used.
        pin_memory: default: where there is a GPU.
        prefetch: batches that each process makes ahead.
    """
    pinned = torch.cuda.is_available() if pin_memory is None else pin_memory
    return ResumableLoader(iterable, workers=workers, pin_memory=pinned, prefetch=prefetch)
