"""Gathers records, encoded, until they are written as one record batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.base.errors import DataError
from orchestrator.data.schema import Schema, encode_value


class RecordBatch:
    """Records side by side: for each part of a variable column, and for each 8-byte column, one value a record.

    Attributes:
        columns: those values by name, as `ShardWriter.write` takes them.
        rows: how many records there are.
        bytes: of their values.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._names = {column.name for column in schema.columns}
        self.clear()

    def clear(self) -> None:
        """Start anew."""
        names = (*self._schema.parts, *(column.name for column in self._schema.fixed))
        self.columns: dict[str, list[Any]] = {name: [] for name in names}
        self.rows = self.bytes = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record, a value for each column.

        Raises:
            DataError: it does not fit the columns; nothing is appended then.
        """
        if record.keys() != self._names:
            wanted = ", ".join(column.name for column in self._schema.columns)
            raise DataError(f"a record has the columns {', '.join(record)}", hint=f"the dataset has {wanted}")
        values: dict[str, Any] = {}
        size = 8 * len(self._schema.fixed)
        for column in self._schema.columns:
            if column.fixed:
                values[column.name] = _number(
                    column.name, record[column.name], float if column.kind == "float64" else int
                )
            else:
                parts = encode_value(column, record[column.name])
                values.update(zip(column.parts, parts, strict=True))
                size += sum(map(len, parts))
        for name, value in values.items():
            self.columns[name].append(value)
        self.rows += 1
        self.bytes += size


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    try:
        number = kind(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"column {name!r} holds a number, got {type(value).__name__}") from error
    if kind is int and not -(2**63) <= number < 2**63:
        raise DataError(f"column {name!r} holds 64-bit numbers, got {number}")
    return number
