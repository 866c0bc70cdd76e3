"""Quantities as people write them: `32GiB`, `90m`, `1.5M`, `2..8`; each parses to plain numbers."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, WithJsonSchema, model_serializer, model_validator
from pydantic.main import BaseModel

_NUMBER = r"(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
_BYTES = {"": 1, "B": 1}
_BYTES |= {f"{p}iB": 1024 ** (i + 1) for i, p in enumerate("KMGTP")}
_BYTES |= {f"{p}B": 1000 ** (i + 1) for i, p in enumerate("KMGTP")} | {"kB": 1000}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}


def parse_bytes(value: Any) -> int:
    """Bytes from an integer or a text such as `32GiB` or `500MB`."""
    return _whole(_scaled(value, _BYTES, "a size such as 32GiB or 500MB"), value)


def parse_duration(value: Any) -> float:
    """Seconds from a number of seconds or a text such as `90m`, `36h` or `1h30m`."""
    if isinstance(value, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value)
        if parts and re.sub(r"\s", "", value) == "".join(n + u for n, u in parts):
            return math.fsum(float(n) * _SECONDS[u] for n, u in parts)
    return _scaled(value, {"": 1}, "a duration such as 90m, 36h or 1h30m")


def parse_count(value: Any) -> int:
    """A whole number, or a text such as `1.5M` (millions) or `2G`."""
    return _whole(_scaled(value, _COUNTS, "a count such as 200M or 1.5G"), value)


def _scaled(value: Any, units: dict[str, Any], what: str) -> float:
    if isinstance(value, bool):
        raise ValueError(f"expected {what}")
    if isinstance(value, int | float):
        number, factor = float(value), 1
    else:
        match = re.fullmatch(_NUMBER + r"\s*(?P<unit>[A-Za-z]*)", value.strip()) if isinstance(value, str) else None
        if match is None or match["unit"] not in units:
            known = ", ".join(u for u in units if u)
            raise ValueError(f"expected {what}" + (f"; units: {known}" if known else ""))
        number, factor = float(match["number"]), units[match["unit"]]
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"expected {what}, not negative and finite")
    return number * factor


def _whole(number: float, written: Any) -> int:
    if isinstance(written, int):
        return written
    if number != int(number):
        raise ValueError(f"{written} is not a whole number")
    return int(number)


def _text_or_number(description: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": description})


ByteSize = Annotated[int, BeforeValidator(parse_bytes), _text_or_number("bytes, or a text such as 32GiB")]
Duration = Annotated[float, BeforeValidator(parse_duration), _text_or_number("seconds, or a text such as 90m or 36h")]
Count = Annotated[int, BeforeValidator(parse_count), _text_or_number("a count, or a text such as 200M or 1.5G")]


class Interval(BaseModel):
    """A closed interval of numbers, written `low..high`, or one number for both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, dict | Interval):
            return value
        low, dots, high = str(value).partition("..")
        try:
            ends = _end(low), _end(high if dots else low)
        except ValueError:
            raise ValueError(f"expected a range such as 2..8, not {value!r}") from None
        return {"low": ends[0], "high": ends[1]}

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low <= self.high:
            raise ValueError(f"the range {self.low:g}..{self.high:g} is empty: its first number is the larger one")
        return self

    @model_serializer
    def _write(self) -> str:
        return f"{self.low!r}..{self.high!r}"

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


def _end(text: str) -> float:
    return _scaled(text, _COUNTS, "a number")


class WorkerRange(Interval):
    """How many workers a run may have: `4`, or `2..8` where it is elastic."""

    @model_validator(mode="after")
    def _whole_and_positive(self) -> WorkerRange:
        if self.low < 1 or self.low != int(self.low) or self.high != int(self.high):
            raise ValueError("workers are whole numbers, at least 1")
        return self

    @model_serializer
    def _write(self) -> str:
        return f"{self.min}..{self.max}"

    @property
    def min(self) -> int:
        """The fewest workers."""
        return int(self.low)

    @property
    def max(self) -> int:
        """The most workers."""
        return int(self.high)
