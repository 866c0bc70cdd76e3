"""Each rule that a value can break, in plain words: pydantic's error types translated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.base.text import one_line
from orchestrator.spec.diagnostics import did_you_mean
from orchestrator.spec.units import as_written

_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be more than"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be less than"),
}
_OTHER_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def expectation(error: Mapping[str, Any]) -> str | None:
    """What kind of value was expected; None where the kind was right and the value was not."""
    kind: str = error["type"]
    if kind == "literal_error":
        return str(error["ctx"]["expected"])
    if kind == "value_error":
        message = str(error["ctx"]["error"])
        return message.removeprefix("expected ") if message.startswith("expected ") else None
    return _KINDS.get(kind)


def unexpected(expected: list[str], value: object) -> tuple[str, str]:
    """Message and hint for a value of another kind than each of those that were expected."""
    rules, _, hint = " or ".join(dict.fromkeys(expected)).partition("; ")
    message = f"expected {rules}, not {shown(value)}"
    return message, _mend(expected, value) or hint


def broken(error: Mapping[str, Any], value: object) -> tuple[str, str]:
    """Message and hint for a value that breaks a rule."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {_bound(context[name], value)}, not {shown(value)}", ""
    if kind == "value_error":
        message, _, hint = str(context["error"]).partition("; ")
        return message, hint
    if kind in ("string_too_short", "too_short"):
        least = context["min_length"]
        return ("must not be empty" if least == 1 else f"must have at least {least} entries"), ""
    if kind == "string_too_long":
        return f"must have at most {context['max_length']:,} characters, and has {len(str(value)):,}", ""
    if kind == "too_long":
        return f"must have at most {context['max_length']:,} entries, and has {context['actual_length']:,}", ""
    return one_line(str(error["msg"]))[:1].lower() + one_line(str(error["msg"]))[1:], ""


def shown(value: object) -> str:
    """A value as it is named in a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"'{one_line(value, 60)}'" if value else "an empty text"
    return str(value)


def _bound(bound: object, value: object) -> str:
    """A bound in the unit of the value that breaks it: where that is a duration, as one."""
    if isinstance(value, str) and isinstance(bound, int | float) and re.search(r"(ms|[smhd])\s*$", value):
        return as_written(bound)
    return _number(bound)


def _number(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) and abs(value) < 1e15 else str(value)


def _mend(expected: list[str], value: object) -> str:
    if isinstance(value, str):
        return _mend_text(expected, value)
    if "a text" in expected and isinstance(value, bool | int | float):
        return f'put quotes around it: "{shown(value)}"'
    if "a whole number" in expected and isinstance(value, float) and value == int(value):
        return f"write {int(value)}"
    if "a list" in expected and isinstance(value, bool | int | float):
        return f"a list with one entry is [{shown(value)}]"
    return ""


def _mend_text(expected: list[str], value: str) -> str:
    if "true or false" in expected:
        meant = _OTHER_BOOLEANS.get(value.lower(), value.lower())
        return f"write {meant}" if meant in ("true", "false") else ""
    if {"a number", "a whole number"} & set(expected) and re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", value):
        return "take the quotes away"
    if "a list" in expected:
        return f"a list with one entry is [{one_line(value, 60)}]"
    choices = [choice for text in expected for choice in re.findall(r"'([^']*)'", text)]
    hint = did_you_mean(value, choices) if choices else ""
    return hint if hint.startswith("did") else ""
