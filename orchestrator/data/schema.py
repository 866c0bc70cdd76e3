"""The typed columns of a dataset, what each kind is in Arrow, and how a value becomes bytes and comes back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.spec.card import ColumnType

FIXED: dict[str, str] = {"label": "<i8", "int64": "<i8", "float64": "<f8"}
"""Kinds whose values take 8 bytes each, and their numpy types; all other kinds have values of any length."""

LISTS: dict[str, str] = {"int64_list": "<i8", "float32_list": "<f4", "float64_list": "<f8", "boxes": "<f8"}
"""Kinds that are lists of numbers, and the numpy types of those; `boxes` are (n, 4): x, y, width, height in pixels."""

NESTED = ("text_list", "masks")
"""Kinds that are lists of values of any length: texts (tags, captions), or a mask of each instance (COCO's RLE)."""

NAME_PATTERN = "[a-z][a-z0-9_]{0,62}"
"""A regular expression of the names of columns and splits."""

_MAX_VALUE_BYTES = (1 << 32) - 1


@dataclass(frozen=True)
class Column:
    """One column: its name and kind. Encoded images, videos and masks stay as they came."""

    name: str
    kind: ColumnType

    @property
    def fixed(self) -> bool:
        """Whether every value takes the same 8 bytes."""
        return self.kind in FIXED

    @property
    def parts(self) -> tuple[str, ...]:
        """The byte ranges that hold one value: the bytes; of nested kinds first the offsets of the items, n + 1 int64.

        The offsets count from the start of the record batch: subtract the first one.
        """
        if self.fixed:
            return ()
        return (f"{self.name}.items", self.name) if self.kind in NESTED else (self.name,)


@dataclass(frozen=True)
class Schema:
    """The columns of a dataset, in order."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Schema:
        """A schema from (name, kind) pairs.

        Raises:
            DataError: an unknown kind, a bad or repeated name, or no column at all.
        """
        columns: list[Column] = []
        for name, kind in pairs:
            if kind not in get_args(ColumnType):
                raise DataError(
                    f"column {name!r} has the unknown kind {kind!r}", hint=f"use {', '.join(get_args(ColumnType))}"
                )
            if not re.fullmatch(NAME_PATTERN, name) or any(name == column.name for column in columns):
                raise DataError(f"bad or repeated column name {name!r}", hint="use lower-case letters, digits and _")
            columns.append(Column(name, kind))  # type: ignore[arg-type]
        if not columns:
            raise DataError("a dataset needs at least one column")
        return cls(tuple(columns))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(name, kind) of every column."""
        return tuple((column.name, column.kind) for column in self.columns)

    @property
    def fixed(self) -> tuple[Column, ...]:
        """The columns of 8 bytes a value."""
        return tuple(column for column in self.columns if column.fixed)

    @property
    def variable(self) -> tuple[Column, ...]:
        """The columns of any length."""
        return tuple(column for column in self.columns if not column.fixed)

    @property
    def parts(self) -> tuple[str, ...]:
        """The byte ranges that hold one record's variable columns, in order."""
        return tuple(part for column in self.variable for part in column.parts)

    def column(self, name: str) -> Column:
        """The column of this name; DataError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise DataError(f"no column {name!r}", hint=f"the columns are {', '.join(c.name for c in self.columns)}")


def encode_value(column: Column, value: Any) -> tuple[bytes, ...]:
    """The bytes of one value of a variable column, one for each of `column.parts`; offsets of items start at 0.

    Raises:
        DataError: it is not what the column holds, or longer than a value may be.
    """
    parts: tuple[bytes, ...]
    if column.kind in NESTED:
        parts = _items(column, value)
    elif column.kind == "text":
        parts = (_text(column, value),)
    elif column.kind in LISTS:
        parts = (_numbers(column, value),)
    else:
        parts = (_encoded(column, value),)
    longest = max(map(len, parts))
    if longest > _MAX_VALUE_BYTES:
        raise DataError(f"a value of column {column.name!r} has {longest} bytes; the most is {_MAX_VALUE_BYTES}")
    return parts


def decode_value(column: Column, *parts: memoryview) -> Any:
    """The inverse of `encode_value`: encoded bytes stay a view; text is a str, numbers an array, nested kinds lists.

    Args:
        column: which.
        parts: a view for each of `column.parts`.
    """
    if column.kind == "text":
        return str(parts[0], "utf-8")
    if column.kind in NESTED:
        return _cut(column, *parts)
    if column.kind in LISTS:
        numbers = np.frombuffer(parts[0], dtype=LISTS[column.kind])
        return numbers.reshape(-1, 4) if column.kind == "boxes" else numbers
    return parts[0]


def _items(column: Column, values: Any) -> tuple[bytes, bytes]:
    if isinstance(values, str | bytes | bytearray | memoryview):
        raise DataError(f"column {column.name!r} holds a list, got one {type(values).__name__}")
    one = _text if column.kind == "text_list" else _encoded
    items = [one(column, value) for value in values]
    offsets = np.zeros(len(items) + 1, dtype="<i8")
    np.cumsum([len(item) for item in items], out=offsets[1:])
    return offsets.tobytes(), b"".join(items)


def _cut(column: Column, items: memoryview, joined: memoryview) -> list[Any]:
    offsets = np.frombuffer(items, dtype="<i8")
    bounds = (offsets - offsets[0]).tolist()
    views = [joined[start:end] for start, end in pairwise(bounds)]
    return [str(view, "utf-8") for view in views] if column.kind == "text_list" else views


def _numbers(column: Column, value: Any) -> bytes:
    try:
        array = np.ascontiguousarray(value, dtype=LISTS[column.kind])
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column {column.name!r} holds a list of numbers: {error}") from error
    if column.kind == "boxes" and array.size and array.shape[1:] != (4,):
        raise DataError(f"column {column.name!r} holds boxes (n, 4), got the shape {array.shape}")
    return array.reshape(-1).tobytes()


def _text(column: Column, value: Any) -> bytes:
    if not isinstance(value, str):
        raise DataError(f"column {column.name!r} holds text, got {type(value).__name__}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"column {column.name!r} holds text that is no UTF-8: {error.reason}") from error


def _encoded(column: Column, value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise DataError(f"column {column.name!r} holds encoded bytes, got {type(value).__name__}")
    return bytes(value)
