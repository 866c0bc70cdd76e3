"""How often a class's rows are to come, from how many rows have it; exact, so that every machine says the same."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Int64s
from orchestrator.data.shares import MOST_UNITS

Factor = Fraction | Decimal

# Decimal powers are the same on every machine; those of the C library are not.
_DIGITS = Context(prec=40)


def balanced(counts: Sequence[int], rows: int) -> list[Fraction]:
    """N / (K n(c)), so that each of the K classes that have rows comes equally often, and N rows in all.

    Returns:
        (classes + 1,): the last one, of rows without a class, is 0.
    """
    present = sum(count > 0 for count in counts)
    if not present:
        raise DataError("no row has a class, so that classes cannot be balanced")
    return [Fraction(rows, present * count) if count else Fraction(0) for count in counts] + [Fraction(0)]


def repeated(counts: Sequence[int], rows: int, threshold: float, power: float) -> list[Decimal]:
    """max(1, (t / f(c)) ** power), f(c) the share of the rows that have class c.

    With power 0.5 it is the category's repeat factor of Gupta, Dollar and Girshick, "LVIS" (CVPR 2019), appendix B.2,
    and a row's, the greatest of its classes, is that of Detectron2's `RepeatFactorTrainingSampler`.

    Returns:
        (classes + 1,): the last one, of rows without a class, is 1.
    """
    share = Fraction(threshold) * rows
    factors = [_power(share / count, power) if count else Decimal(1) for count in counts]
    return [max(Decimal(1), factor) for factor in factors] + [Decimal(1)]


def inverse(counts: Sequence[int], rows: int, power: float) -> list[Decimal]:
    """f(c) ** -power, without a floor: only the proportions count.

    Returns:
        (classes + 1,): the last one, of rows without a class, is 1, the least that any can have.
    """
    return [_power(Fraction(rows, count), power) if count else Decimal(1) for count in counts] + [Decimal(1)]


def in_units(factors: Sequence[Factor], counts: Sequence[int], rows: int) -> tuple[Int64s, int]:
    """Factors as whole numbers of units, and how many bits a factor of one has: as many as fit into a sum of all rows.

    Where they sum to about the number of rows, a factor of one has 2**26 units for ten billion rows, 2**39 for a
    million.

    Args:
        factors: (classes + 1,); the last one is of rows without a class.
        counts: (classes,) rows of each class; a row may have several.
        rows: of the split.
    """
    exact = [Fraction(factor) for factor in factors]
    most = sum((factor * count for factor, count in zip(exact, counts, strict=False)), exact[-1] * rows)
    bits = MOST_UNITS.bit_length() - 2 - (int(most) + len(exact) + rows).bit_length()
    units = [round(factor * Fraction(2) ** bits) for factor in exact]
    return np.array(units, dtype=np.int64), bits


def weight_bits(greatest: float, rows: int) -> int:
    """By which power of two weights up to `greatest` are multiplied, so that those of all rows can be summed.

    The smallest weight that counts is 2**-26 of the greatest for ten billion rows, 2**-39 for a million.
    """
    exponent = int(np.frexp(greatest)[1])
    return MOST_UNITS.bit_length() - 2 - rows.bit_length() - exponent


def _power(base: Fraction, power: float) -> Decimal:
    number = _DIGITS.divide(Decimal(base.numerator), Decimal(base.denominator))
    return number.sqrt(_DIGITS) if power == 0.5 else _DIGITS.power(number, Decimal(power))
