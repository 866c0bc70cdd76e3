"""What each kind of column is in Arrow: its type, an array over encoded values, and where a value lies in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.schema import LISTS, NESTED, Column, Schema

Views = Sequence[bytes | memoryview]
"""The bytes of one part of each record of a batch."""

_BOX = 4
_ITEMS = {
    "int64_list": pa.int64(),
    "float32_list": pa.float32(),
    "float64_list": pa.float64(),
    "boxes": pa.float64(),
}


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns as Arrow types; variable ones have 64-bit offsets, nothing is nullable."""
    return pa.schema([pa.field(column.name, _arrow_type(column), nullable=False) for column in schema.columns])


def fixed_array(column: Column, values: AnyArray) -> pa.Array:
    """An Arrow array of a copy of numbers.

    `pa.array` would do the same and import pandas for it: half a second in every process that builds.
    """
    return pa.Array.from_buffers(_arrow_type(column), len(values), [None, pa.py_buffer(values.copy())])


def variable_array(column: Column, parts: Mapping[str, Sequence[bytes]]) -> tuple[pa.Array, dict[str, Views]]:
    """An Arrow array over encoded values.

    Args:
        column: a variable one.
        parts: for each of `column.parts` the bytes of n values, as `schema.encode_value` made them.

    Returns:
        The array (n,), and the bytes of each part as they will lie in the file: offsets of items count from the start
        of the batch.
    """
    if column.kind in NESTED:
        return _nested_array(column, *(parts[part] for part in column.parts))
    values = parts[column.name]
    width = _item_width(column)
    offsets = _running([len(value) // width for value in values])
    joined = pa.py_buffer(b"".join(values))
    found: dict[str, Views] = {column.name: values}
    if column.kind not in LISTS:
        return _array(_arrow_type(column), offsets, joined), found
    return _list_array(column, offsets, _numbers(column, int(offsets[-1]), joined)), found


def value_bounds(array: pa.Array, column: Column, base: int) -> dict[str, tuple[AnyArray, AnyArray]]:
    """Start and end (n,) of each part of each value, in bytes from the address `base`."""
    buffers = array.buffers()
    data = buffers[-1]
    first = data.address - base if data is not None and data.size else 0
    offsets = np.frombuffer(buffers[1], dtype=np.int64, count=len(array) + 1, offset=8 * array.offset)
    if column.kind not in NESTED:
        places = first + offsets * _item_width(column)
        return {column.name: (places[:-1], places[1:])}
    ends = np.frombuffer(buffers[3], dtype=np.int64, count=int(offsets[-1]) + 1)
    start = buffers[3].address - base
    items, joined = column.parts
    return {
        items: (start + 8 * offsets[:-1], start + 8 * (offsets[1:] + 1)),
        joined: (first + ends[offsets[:-1]], first + ends[offsets[1:]]),
    }


def _arrow_type(column: Column) -> pa.DataType:
    if column.fixed:
        return pa.float64() if column.kind == "float64" else pa.int64()
    if column.kind in LISTS or column.kind in NESTED:
        return pa.large_list(pa.field("item", _item_type(column), nullable=False))
    return pa.large_string() if column.kind == "text" else pa.large_binary()


def _item_type(column: Column) -> pa.DataType:
    if column.kind == "boxes":
        return pa.list_(pa.field("item", pa.float64(), nullable=False), _BOX)
    if column.kind in NESTED:
        return pa.large_string() if column.kind == "text_list" else pa.large_binary()
    return _ITEMS[column.kind]


def _item_width(column: Column) -> int:
    """Bytes of an item of a list of numbers; of other kinds an item is a byte."""
    if column.kind not in LISTS:
        return 1
    return np.dtype(LISTS[column.kind]).itemsize * (_BOX if column.kind == "boxes" else 1)


def _nested_array(column: Column, items: Sequence[bytes], joined: Sequence[bytes]) -> tuple[pa.Array, dict[str, Views]]:
    places = np.frombuffer(b"".join(items), dtype=np.int64)
    counts = np.array([len(value) // 8 for value in items], dtype=np.int64)
    bases = _running([len(value) for value in joined])
    first_of_next = np.cumsum(counts) - 1  # each value's last offset is the next one's first
    ends = np.append(np.delete(places + np.repeat(bases[:-1], counts), first_of_next), bases[-1])
    offsets = _running((counts - 1).tolist())
    child = _array(_item_type(column), ends, pa.py_buffer(b"".join(joined)))
    view = memoryview(ends.tobytes())
    bounds = zip((8 * offsets[:-1]).tolist(), (8 * (offsets[1:] + 1)).tolist(), strict=True)
    found: dict[str, Views] = {column.parts[0]: [view[start:end] for start, end in bounds], column.parts[1]: joined}
    return _list_array(column, offsets, child), found


def _numbers(column: Column, count: int, joined: pa.Buffer) -> pa.Array:
    kind = _ITEMS[column.kind]
    if column.kind != "boxes":
        return pa.Array.from_buffers(kind, count, [None, joined])
    numbers = pa.Array.from_buffers(kind, count * _BOX, [None, joined])
    return pa.Array.from_buffers(_item_type(column), count, [None], children=[numbers])


def _array(kind: pa.DataType, offsets: Int64s, joined: pa.Buffer) -> pa.Array:
    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets), joined])


def _list_array(column: Column, offsets: Int64s, items: pa.Array) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(_arrow_type(column), len(offsets) - 1, buffers, children=[items])


def _running(lengths: Sequence[int]) -> Int64s:
    """(n + 1,) running sums from 0."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
