"""What the machine allows, and pyarrow by hand: both on this library's own shards, without its checks."""

from __future__ import annotations

import mmap
from pathlib import Path

import pyarrow as pa

from orchestrator.data.reader import ShardedDataset
from peers.inputs import Inputs
from peers.share import Epoch, Share, by_index


def limit(folder: Path, share: Share) -> Epoch:
    """A memory map and one `bytes()` for each record, whose place is known beforehand."""
    dataset = ShardedDataset(folder, "train")
    first = dataset.index.first_rows
    places = []
    for shard, path in enumerate(_shards(folder)):
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        rows = slice(int(first[shard]), int(first[shard]) + int(dataset.index.table.shards["rows"][shard]))
        starts = dataset.index.table.records["record.offset"][rows]
        ends = starts + dataset.index.table.records["record.length"][rows]
        places += [(content, start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def epoch(number: int) -> int:
        count = 0
        for content, start, end in map(places.__getitem__, share.order(number)):
            bytes(content[start:end])  # a slice of a map is its `bytes()`
            count += 1
        return count

    return epoch


def by_hand(folder: Path, share: Share) -> Epoch:
    """Offsets and data of each record batch fetched once, then slices."""
    places = []
    for batch in _batches(folder):
        _, offsets, data = batch.column("record").buffers()
        wide = 8 if pa.types.is_large_binary(batch.schema.field("record").type) else 4
        marks = memoryview(offsets).cast("B").cast("q" if wide == 8 else "i")
        view = memoryview(data)
        places += [(view, marks[row], marks[row + 1]) for row in range(batch.num_rows)]
    return by_index(share, lambda number: bytes(places[number][0][places[number][1] : places[number][2]]))


def own_rows(folder: Path, share: Share) -> Epoch:
    """`as_py` of each row of a memory-mapped record batch."""
    columns = [(batch.column("record"), row) for batch in _batches(folder) for row in range(batch.num_rows)]
    return by_index(share, lambda number: columns[number][0][columns[number][1]].as_py())


def write(folder: Path, inputs: Inputs) -> None:
    """Plain Arrow: one file, record batches of a thousand rows."""
    schema = pa.schema([("record", pa.large_binary()), ("label", pa.int64())])
    with pa.OSFile(str(folder / "all.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for start in range(0, len(inputs), 1000):
            some = [inputs[number] for number in range(start, min(start + 1000, len(inputs)))]
            records, labels = zip(*some, strict=True)
            writer.write_batch(pa.record_batch([pa.array(records, pa.large_binary()), pa.array(labels)], schema))


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("train-*.arrow"))


def _batches(folder: Path) -> list[pa.RecordBatch]:
    found = []
    for path in _shards(folder):
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        found += [file.get_batch(number) for number in range(file.num_record_batches)]
    return found
