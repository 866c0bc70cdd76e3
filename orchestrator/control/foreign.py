"""What runs write is foreign: numbers that are none, or that nobody could reckon with, are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 1e18
"""Amounts are below: their products and quotients stay finite."""
LEAST = 1e-9
"""Amounts that are not 0 are above, so that one may divide by them."""

FOREIGN_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading foreign documents may raise, whatever is in them."""


def number_of(value: object) -> float | None:
    """A finite number below `MOST`; None where it is no such number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not -MOST < value < MOST:
        return None
    return float(value)


def amount_of(value: object) -> float:
    """An amount.

    Raises:
        ValueError: it is none, or nobody could reckon with it.
    """
    number = number_of(value)
    if number is None or not (number == 0 or number >= LEAST):
        raise ValueError("no amount")
    return number


def without_nonsense(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same without numbers that nobody could reckon with, which JSON for others could not even hold."""
    return {str(name): value for name, value in data.items() if not _nonsense(value)}


def _nonsense(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_nonsense, value.values()))
    if isinstance(value, list):
        return any(map(_nonsense, value))
    return isinstance(value, int | float) and not isinstance(value, bool) and number_of(value) is None
