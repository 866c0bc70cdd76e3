"""Snapshots (and all else that the scheduler says) as JSON and back, exactly: for bug reports, replay, golden tests."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.base.errors import UsageError
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.sound import faults

_SNAPSHOT = TypeAdapter(Snapshot)
_WIDTH = 120
_ENDLESS = {float("inf"): "inf", float("-inf"): "-inf"}


def load_snapshot(text: str) -> Snapshot:
    """The snapshot that `dump` wrote.

    Raises:
        UsageError: it is none, or one in which no cluster could be.
    """
    hint = "give what was written, unchanged"
    try:
        found = _SNAPSHOT.validate_python(json.loads(text))
    except ValidationError as error:
        raise UsageError(f"not a snapshot: {_first(error)}", hint=hint) from None
    except ValueError as error:
        raise UsageError(f"not a snapshot: {error}", hint=hint) from None
    except RecursionError:
        raise UsageError("not a snapshot: nested too deeply", hint=hint) from None
    if (fault := next(faults(found), None)) is not None:
        raise UsageError(f"not a snapshot: {fault}", hint=hint)
    return found


def _first(error: ValidationError) -> str:
    """Where it first is wrong, and how."""
    found = error.errors(include_url=False)[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"])
    return f"{where.lstrip('.')}: {found['msg']}"


def dump(value: object) -> str:
    """Anything that the scheduler takes or says as JSON, for people to read and to compare."""
    return _lines(plain(value), "") + "\n"


def plain(value: object) -> Any:
    """Records as mappings without what has its default value, all sequences as lists, sets in order."""
    if is_dataclass(value) and not isinstance(value, type):
        told = ((field.name, getattr(value, field.name)) for field in fields(value) if not _default(value, field))
        return {name: plain(item) for name, item in told}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return list(map(plain, value))
    return _ENDLESS.get(value, value) if isinstance(value, float) else value


def _default(record: object, field: Field[Any]) -> bool:
    return field.default is not MISSING and bool(getattr(record, field.name) == field.default)


def _lines(value: Any, indent: str) -> str:
    """Indented where a line would be too long, so that a change of one job changes one line."""
    whole = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(whole) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return whole
    deeper = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_lines(item, deeper)}" for key, item in value.items()]
    else:
        items = [_lines(item, deeper) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{indent}{closing}"
