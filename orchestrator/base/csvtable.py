"""Tables as CSV that a spreadsheet may open: numbers in full, and no text that it would take for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from orchestrator.base.text import one_line

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LONGEST = 500


def csv_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Head and rows, each ended by a newline.

    Numbers are written so that they are read back as the same; text on one line, with an apostrophe before it where
    a spreadsheet would calculate it, unless it is a number.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[_cell(value) for value in row] for row in (head, *rows)])
    return text.getvalue()


def _cell(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    line = one_line(str(value), _LONGEST)
    return f"'{line}" if line.startswith(_FORMULA) and not _NUMBER.fullmatch(line) else line
