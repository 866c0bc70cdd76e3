"""LMDB: one key a record."""

from __future__ import annotations

from pathlib import Path

import lmdb

from peers.inputs import Inputs
from peers.share import Epoch, Share, by_index


def write(folder: Path, inputs: Inputs) -> None:
    """One transaction for each thousand records."""
    room = 4 * sum(len(record) for record, _ in (inputs[0],)) * len(inputs) + 2**26
    with lmdb.open(str(folder), map_size=room) as store:
        for start in range(0, len(inputs), 1000):
            with store.begin(write=True) as transaction:
                for number in range(start, min(start + 1000, len(inputs))):
                    record, label = inputs[number]
                    transaction.put(b"%09d" % number, label.to_bytes(2, "little") + record, append=True)


def rows(folder: Path, share: Share) -> Epoch:
    """By key, in one read transaction."""
    store = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
    transaction = store.begin()
    return by_index(share, lambda number: transaction.get(b"%09d" % number))
