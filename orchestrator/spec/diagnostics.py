"""What is wrong with a document, said to the person who must mend it: place, line, caret, rule, hint."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.base.errors import SpecError
from orchestrator.base.text import inert, one_line
from orchestrator.spec.nodes import Mark

SHOWN = 50
"""Diagnostics that one message shows; the others are counted."""

_WIDTH = 120


@dataclass(frozen=True)
class Diagnostic:
    """One error.

    Attributes:
        file: the file, or the command-line option.
        line: counted from 1; 0 where the error is not in a line of a file.
        column: counted from 1, in characters.
        message: the rule that is broken.
        hint: what to do about it.
        source_line: the line as it was written; empty where there is none.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    source_line: str = ""

    @classmethod
    def at(cls, mark: Mark, message: str, hint: str = "") -> Diagnostic:
        """An error at a place."""
        line = 0 if mark.source.option else mark.line
        return cls(mark.source.name, line, mark.column, message, hint, mark.source.line(mark.line))

    def __str__(self) -> str:
        place = one_line(self.file, 100) + (f":{self.line}:{self.column}" if self.line else "")
        parts = [f"{place}: {one_line(self.message, 1000)}"]
        if self.source_line.strip():
            parts += [f"    {text}" for text in _excerpt(self.source_line, self.column)]
        if self.hint:
            parts.append(f"  hint: {one_line(self.hint, 1000)}")
        return "\n".join(parts)


def refusal(diagnostics: Iterable[Diagnostic]) -> SpecError:
    """One error that says everything that is wrong, in the order of the document, and nothing twice."""
    first: dict[tuple[str, int, int, str], Diagnostic] = {}
    for found in diagnostics:
        first.setdefault((found.file, found.line, found.column, found.message), found)
    ordered = sorted(first.values(), key=lambda d: (d.line == 0, d.line, d.column))
    shown = [str(d) for d in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        shown.append(f"… and {len(ordered) - SHOWN} more errors")
    return SpecError("\n".join(shown))


def nearest(word: object, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """What was probably meant; None: nothing that is known looks so much like it (1: the same)."""
    lowered = {name.lower(): name for name in reversed([*known])}
    near = difflib.get_close_matches(str(word).lower()[:100], lowered, n=1, cutoff=likeness)
    return lowered[near[0]] if near else None


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """A hint that names what was probably meant, or else everything that is known."""
    if (near := nearest(word, known)) is not None:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(known)}" if known else ""


def _excerpt(line: str, column: int) -> tuple[str, str]:
    """A part of the line around the column, made inert, and a caret under the column."""
    start = max(0, column - 1 - _WIDTH * 2 // 3) if len(line) > _WIDTH else 0
    before, after = line[start : column - 1], line[column - 1 : start + _WIDTH]
    if start:
        before = "…" + before
    if len(line) > start + _WIDTH:
        after += "…"
    before, after = _one_column_each(before), _one_column_each(after)
    return (before + after).rstrip(), " " * sum(map(_columns, before)) + "^"


def _one_column_each(text: str) -> str:
    return inert(text.replace("\t", " ").replace("\n", " "))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
