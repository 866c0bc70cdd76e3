import numpy as np

from orchestrator.data.order import FULL, EpochOrder
from orchestrator.data.readahead import POSITIONS, ReadAhead

ROWS = 3 * POSITIONS


def order_of(epoch: int) -> EpochOrder:
    return EpochOrder(ROWS, seed=1, epoch=epoch, version="v", shuffle=FULL)


class Dataset:
    """Notes what it is told."""

    def __init__(self, remote: bool) -> None:
        self.remote = remote
        self.told: list[np.ndarray] = []

    def prefetch(self, rows: np.ndarray) -> None:
        self.told.append(rows)


def tell(dataset: Dataset, epochs: int = 1, batch: int = 256) -> None:
    ahead = ReadAhead(dataset)
    for epoch in range(epochs):
        for start in range(0, ROWS, batch):
            ahead.tell(epoch, np.arange(start, start + batch, dtype=np.int64), order_of)


def test_rows_are_told_long_before_they_are_read_and_seldom() -> None:
    dataset = Dataset(remote=True)
    tell(dataset)
    assert len(dataset.told) == 2 * ROWS // POSITIONS
    assert (dataset.told[0] == order_of(0).rows_between(0, POSITIONS)).all()
    assert (dataset.told[1] == order_of(0).rows_between(POSITIONS // 2, POSITIONS // 2 + POSITIONS)).all()
    assert len(dataset.told[-1]) == POSITIONS // 2


def test_each_epoch_is_told() -> None:
    dataset = Dataset(remote=True)
    tell(dataset, epochs=2)
    assert (dataset.told[len(dataset.told) // 2] == order_of(1).rows_between(0, POSITIONS)).all()


def test_a_local_dataset_is_told_nothing() -> None:
    dataset = Dataset(remote=False)
    tell(dataset)
    assert dataset.told == []
