"""A document as a tree in which every key and every value knows where it was written."""

from __future__ import annotations

from collections.abc import Mapping as Entries
from collections.abc import Sequence as Items
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
Path = Items[str | int]


def at(node: Node, path: Path) -> Node:
    """What lies at `path`, which the node has."""
    for part in path:
        if isinstance(node, Sequence):
            node = node.items[int(part)]
        elif isinstance(node, Mapping):
            node = node.entries[str(part)].value
    return node


def replaced(node: Node, path: Path, new: Node) -> Node:
    """The node with another one at `path`, which it has."""
    if not path:
        return new
    first, rest = path[0], path[1:]
    below = replaced(at(node, [first]), rest, new)
    if isinstance(node, Sequence):
        return Sequence(node.mark, tuple(below if i == first else item for i, item in enumerate(node.items)))
    assert isinstance(node, Mapping)
    return Mapping(node.mark, {**node.entries, str(first): Entry(node.entries[str(first)].mark, below)})


def plain(node: Node) -> Any:
    """The node without its places: None, bool, int, float, str, list and dict."""
    if isinstance(node, Mapping):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value
