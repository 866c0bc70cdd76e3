"""What travels between hub, agents and workers: JSON objects, one a line, of bounded length; words as such objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from orchestrator.base.errors import OrchestratorError

LONGEST_LINE = 1 << 20
LONGEST_GREETING = 4096
"""Of a line from a peer that has not shown that it knows the secret."""

_Word = TypeVar("_Word")


class WireError(OrchestratorError):
    """A peer sent what nobody of this run would send."""

    code = "wire"


class LineBuffer:
    """Cuts bytes into messages.

    Args:
        limit: the longest line in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are whole now.

        Raises:
            WireError: a line is too long, or no JSON object.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if any(len(line) > self.limit for line in (*lines, self._rest)):
            raise WireError(f"a line of more than {self.limit} bytes")
        return [_decode(line) for line in lines]


def encode(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def pack(word: object) -> dict[str, Any]:
    """A word (a frozen data class) as a JSON object that names its class."""
    assert is_dataclass(word)
    assert not isinstance(word, type)
    return {"word": type(word).__name__, **asdict(word)}


def unpack(document: Mapping[str, Any], *kinds: type[_Word]) -> _Word:
    """The inverse of `pack`, for words of these classes only.

    Raises:
        WireError: it is another word, or one with other fields or values of other types.
    """
    kind = next((kind for kind in kinds if kind.__name__ == document.get("word")), None)
    if kind is None:
        raise WireError(f"unexpected word {str(document.get('word'))[:40]!r}")
    return _build({name: value for name, value in document.items() if name != "word"}, kind)


def _decode(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise WireError("a line that is no JSON object")
    return document


def _build(document: Any, kind: type[_Word]) -> _Word:
    if not isinstance(document, dict):
        raise WireError(f"{kind.__name__} is no object")
    hints = get_type_hints(kind)
    if not document.keys() <= hints.keys():
        raise WireError(f"{kind.__name__} has no such field")
    missing = hints.keys() - document.keys()
    if missing:
        raise WireError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
    return kind(**{field.name: _value(document[field.name], hints[field.name]) for field in fields(kind)})  # type: ignore[arg-type]


def _value(value: Any, hint: Any) -> Any:
    """A value of a field, checked against its type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return None if value is None and NoneType in arguments else _value(value, arguments[0])
    if origin is tuple and isinstance(value, list):
        return tuple(_value(item, arguments[0]) for item in value)
    if origin is Literal and value in arguments:
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(value, hint)
    if type(value) is hint:
        return value
    raise WireError(f"{str(value)[:40]!r} is not of type {hint}")
