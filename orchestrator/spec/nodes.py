"""A document as a tree in which every key and every value knows where it was written."""

from __future__ import annotations

from collections.abc import Mapping as Entries
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """A text that people wrote.

    Attributes:
        name: the file, or the command-line option that the text was given with.
        text: all of it.
        option: whether it is a command-line option, whose line numbers say nothing.
    """

    name: str
    text: str = field(repr=False)
    option: bool = False

    def line(self, number: int) -> str:
        """A line, counted from 1; empty where there is none."""
        lines = self.text.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a source; line and column are counted from 1, a line of 0 is the source as a whole."""

    source: Source = field(compare=False)
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; None also where one was refused, which is then nobody else's concern."""

    mark: Mark
    value: str | int | float | bool | None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value under its key."""

    mark: Mark
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values, in the order in which they were written."""

    mark: Mark
    entries: Entries[str, Entry]


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> Any:
    """The node without its places: None, bool, int, float, str, list and dict."""
    if isinstance(node, Mapping):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value
