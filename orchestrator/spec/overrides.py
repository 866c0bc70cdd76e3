"""`--set optim.lr=0.1`: values from the command line take the place of those in the document."""

from __future__ import annotations

import re
from collections.abc import Sequence as Texts

from orchestrator.spec.compose import compose
from orchestrator.spec.diagnostics import Diagnostic
from orchestrator.spec.nodes import Entry, Mapping, Mark, Node, Scalar, Sequence, Source
from orchestrator.spec.source import decode

MAX_OVERRIDES = 1000

_PART = re.compile(r'"(?P<quoted>[^"]+)"|(?P<bare>[^."=\[\]\s]+)|\[(?P<index>\d{1,6})\]')


class _Unusable(Exception):
    """An override that fits nowhere."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic


def apply_overrides(root: Node, overrides: Texts[str]) -> tuple[Node, list[Diagnostic]]:
    """The document with each `path=value` set in turn, and what is wrong with them.

    A path has keys and positions, `nodes.0.cpus` or `nodes[0].cpus`; a key with a dot in it stands in double quotes.
    A value is YAML: `0.1`, `asha`, `[1, 2]`, `{window: 4}`; an empty one is null.

    Raises:
        SpecError: an override holds control characters.
    """
    problems: list[Diagnostic] = []
    if len(overrides) > MAX_OVERRIDES:
        return root, [Diagnostic("--set", 0, 0, f"{len(overrides):,} values are set; at most {MAX_OVERRIDES:,} can be")]
    for text in overrides:
        try:
            path, marks, value = _parse(decode(text, f"--set {text}"), problems)
            root = _with(root, path, marks, value)
        except _Unusable as error:
            problems.append(error.diagnostic)
    return root, problems


def _parse(read: Source, problems: list[Diagnostic]) -> tuple[list[str], list[Mark], Node]:
    source = Source(read.name, read.text, option=True)
    path, marks, position = [], [], 0
    while match := _PART.match(source.text, position):
        path.append(match["quoted"] or match["bare"] or match["index"])
        marks.append(Mark(source, 1, match.start() + 1))
        position = match.end()
        following = source.text[position : position + 1]
        if following == "=":
            value, wrong = compose(source, " " * (position + 1) + source.text[position + 1 :])
            if value is None and source.text[position + 1 :].strip():
                raise _Unusable(wrong[-1])
            problems += wrong if value is not None else []
            return path, marks, value or Scalar(Mark(source, 1, position + 2), None)
        position += following == "."
    raise _Unusable(Diagnostic.at(Mark(source, 1, position + 1), "expected PATH=VALUE", "such as optim.lr=0.1"))


def _with(node: Node, path: list[str], marks: list[Mark], value: Node) -> Node:
    if not path:
        return value
    if isinstance(node, Sequence):
        return _with_item(node, path, marks, value)
    if isinstance(node, Scalar):
        if node.value is not None:
            message = f"there is no {path[0]!r} in {str(node.value)[:60]!r}, which is a single value"
            raise _Unusable(Diagnostic.at(marks[0], message))
        node = Mapping(marks[0], {})
    old = node.entries.get(path[0])
    mark = marks[0] if old is None or len(path) == 1 else old.mark
    below = _with(old.value if old else Scalar(mark, None), path[1:], marks[1:], value)
    return Mapping(node.mark, {**node.entries, path[0]: Entry(mark, below)})


def _with_item(node: Sequence, path: list[str], marks: list[Mark], value: Node) -> Sequence:
    if not path[0].isascii() or not path[0].isdigit() or int(path[0]) >= len(node.items):
        message = f"the list has no entry {path[0]!r}"
        hint = f"its entries are 0 to {len(node.items) - 1}" if node.items else "it is empty"
        raise _Unusable(Diagnostic.at(marks[0], message, hint))
    index = int(path[0])
    below = _with(node.items[index], path[1:], marks[1:], value)
    return Sequence(node.mark, (*node.items[:index], below, *node.items[index + 1 :]))
