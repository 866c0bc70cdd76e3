"""Quantities as people write them: `32GiB`, `90m`, `1.5M`, `2..8`; each parses to plain numbers."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

LONGEST = 10 * 366 * 86400.0
"""Seconds; no duration is longer than about ten years."""
LARGEST = 2**63 - 1
"""No count and no size is larger."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_BYTES = {"": 1, "B": 1}
_BYTES |= {f"{p}iB": 1024 ** (i + 1) for i, p in enumerate("KMGTP")}
_BYTES |= {f"{p}B": 1000 ** (i + 1) for i, p in enumerate("KMGTP")} | {"kB": 1000}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}

_DURATION_PART = r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)"
_COUNT_PATTERN = rf"\s*{_NUMBER}\s*[KMGBT]?\s*"
_RANGE_PATTERN = rf"^{_COUNT_PATTERN}(\.\.{_COUNT_PATTERN})?$"


def parse_bytes(value: Any) -> int:
    """Bytes from an integer or a text such as `32GiB` or `500MB`."""
    return _whole(_scaled(value, _BYTES, "a size such as 32GiB or 500MB"), value)


def parse_duration(value: Any) -> float:
    """Seconds from a number of seconds or a text such as `90m`, `36h` or `1h30m`."""
    seconds = _parts(value) if isinstance(value, str) else None
    if seconds is None:
        seconds = float(_scaled(value, {"": 1}, "a duration such as 90m, 36h or 1h30m"))
    if seconds > LONGEST:
        raise ValueError("longer than ten years")
    return seconds


def as_written(seconds: float) -> str:
    """A duration as people write it: `1h30m`, `30d`, `10ms`; to the millisecond."""
    left, parts = round(seconds * 1000), []
    for unit, size in reversed(_SECONDS.items()):
        count, left = divmod(left, round(size * 1000))
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def _parts(text: str) -> float | None:
    parts = re.findall(_DURATION_PART, text)
    if not parts or re.sub(r"\s", "", text) != "".join(number + unit for number, unit in parts):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_count(value: Any) -> int:
    """A whole number, or a text such as `1.5M` (millions) or `2G`."""
    return _whole(_scaled(value, _COUNTS, "a count such as 200M or 1.5G"), value)


def _scaled(value: Any, units: dict[str, int], what: str) -> float | int:
    number, unit = _number_and_unit(value, what)
    if unit not in units:
        near = [u for u in units if u.lower() == unit.lower()]
        known = f"; did you mean {near[0]}?" if near else f"; units: {', '.join(u for u in units if u)}"
        raise ValueError(f"expected {what}" + (known if len(units) > 1 else ""))
    scaled = number * units[unit]
    if not 0 <= scaled <= sys.float_info.max:
        raise ValueError(f"expected {what}, finite and not negative")
    return scaled


def _number_and_unit(value: Any, what: str) -> tuple[float | int, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value, ""
    match = re.fullmatch(rf"({_NUMBER})\s*([A-Za-z]*)", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected {what}")
    return (int(match[1]) if match[1].isdigit() and len(match[1]) < 30 else float(match[1])), match[2]


def _whole(number: float | int, written: Any) -> int:
    if number != int(number):
        raise ValueError(f"{written} is not a whole number")
    if number > LARGEST:
        raise ValueError("larger than 2^63 - 1")
    return int(number)


def _schema(pattern: str, description: str) -> WithJsonSchema:
    forms = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}]
    return WithJsonSchema({"anyOf": forms, "description": description})


ByteSize = Annotated[
    int,
    BeforeValidator(parse_bytes),
    _schema(rf"^\s*{_NUMBER}\s*({'|'.join(_BYTES)})\s*$", "bytes, or a text such as 32GiB"),
]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _schema(rf"^\s*({_NUMBER}|({_DURATION_PART}\s*)+)\s*$", "seconds, or a text such as 90m or 36h"),
]
Count = Annotated[
    int, BeforeValidator(parse_count), _schema(f"^{_COUNT_PATTERN}$", "a count, or a text such as 200M or 1.5G")
]


class Range(BaseModel):
    """What ranges have in common: they are written `low..high`, or as one number for both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        low, dots, high = str(value).partition("..")
        return {"low": _end(low), "high": _end(high if dots else low)}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A number, a text such as 2..8, or its two ends."""
        full = handler.resolve_ref_schema(handler(schema))
        description = full.pop("description", "")
        written = {"type": "string", "pattern": _RANGE_PATTERN}
        return {"anyOf": [{"type": "number", "minimum": 0}, written, full], "description": description}


class Interval(Range):
    """A closed interval of numbers, written `low..high`, or one number for both ends."""

    low: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"the range {self._write()} is empty: its first number is the larger one")
        return self

    @model_serializer
    def _write(self) -> str:
        return f"{_plain(self.low)}..{_plain(self.high)}"

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


def _end(text: str) -> float | int:
    return _scaled(text, _COUNTS, "a range such as 2..8")


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) and number < 1e15 else repr(number)


class WorkerRange(Interval):
    """How many workers a run may have: `4`, or `2..8` where it is elastic."""

    @model_validator(mode="after")
    def _whole_and_positive(self) -> WorkerRange:
        if self.low < 1 or self.low != int(self.low) or self.high != int(self.high):
            raise ValueError("workers are whole numbers, at least 1")
        if self.high > 1_000_000:
            raise ValueError("workers are at most 1000000")
        return self

    @property
    def min(self) -> int:
        """The fewest workers."""
        return int(self.low)

    @property
    def max(self) -> int:
        """The most workers."""
        return int(self.high)


class CountRange(Range):
    """A closed range of counts such as `200M..400M`."""

    low: Count
    high: Count

    @model_validator(mode="after")
    def _ordered(self) -> CountRange:
        if self.low > self.high:
            raise ValueError("the range is empty: its first number is the larger one")
        return self

    @model_serializer
    def _write(self) -> str:
        return f"{self.low}..{self.high}"
