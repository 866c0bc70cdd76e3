"""Makes nodes of YAML's events: plain data only, no duplicates, tags, anchors, or nesting without end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from orchestrator.spec.diagnostics import Diagnostic
from orchestrator.spec.nodes import Entry, Mapping, Mark, Node, Scalar, Sequence, Source

MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_INTEGER = 2**63 - 1

# The core schema of YAML 1.2, section 10.3.2.
_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {w: w.lower() == "true" for w in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")

_PLAINER = (
    (r"found character '\\t'.*", "a tab cannot indent", "use spaces"),
    (
        r"mapping values are not allowed here",
        "a ':' cannot stand here",
        "indent the line, or quote the text",
    ),
    (r"could not find expected ':'", "expected a ':' after the key", ""),
    (
        r"expected <block end>, but found .*",
        "the line does not fit the lines above it",
        "check its indentation",
    ),
    (r"found unexpected end of stream", "the text in quotes does not end", "close the quotes"),
    (r"found character '(.)' that cannot start any token", r"a text cannot start with '\1'", "put quotes around it"),
    (r"expected the node content, but found .*", "a value is missing here", ""),
    (r"expected ',' or '(.)', but got .*", r"expected ',' or the closing '\1'", "close the bracket"),
    (
        r"found unknown escape character .*",
        r"a backslash in double quotes starts an escape",
        r"write \\ for a backslash, or use single quotes",
    ),
    (r"did not find expected <document start>.*", "the line does not fit the lines above it", ""),
    (r"expected '<document start>'.*", "the line does not fit the lines above it", "check its indentation"),
)


class _Unreadable(Exception):
    """Nothing after this place can be read."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic


def compose(source: Source, text: str | None = None) -> tuple[Node | None, list[Diagnostic]]:
    """The document as nodes, and all that is wrong with it.

    Args:
        source: what people wrote, for the places in messages.
        text: what is parsed where it is not all of the source; it must keep the source's columns.

    Returns:
        The nodes, or None where the document cannot be read to its end, or aliases stand for parts of it: what it
        means is then unknown. Other things that were refused in it are a null there.
    """
    composer = _Composer(source, source.text if text is None else text)
    try:
        node = composer.document()
    except _Unreadable as error:
        return None, [*composer.found(), error.diagnostic]
    return None if "alias" in composer.kinds else node, composer.found()


class _Composer:
    def __init__(self, source: Source, text: str) -> None:
        self.kinds: dict[str, list[Diagnostic]] = {}
        self._problems: list[Diagnostic] = []
        self._source = source
        self._nodes = 0
        self._events = self._parse(text)

    def _parse(self, text: str) -> Iterator[tuple[str, Any]]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError

        try:
            for event in YAML(typ="safe", pure=True).parse(text):
                yield type(event).__name__.removesuffix("Event"), event
        except MarkedYAMLError as error:
            raise _Unreadable(self._syntax(error)) from None
        except Exception as error:  # on hostile texts the scanner also raises what is not its own
            whole = Mark(self._source, 1, 1)
            raise _Unreadable(Diagnostic.at(whole, f"the document is not YAML: {error}")) from None

    def _syntax(self, error: Any) -> Diagnostic:
        problem = str(error.problem or error.context or "the document is not YAML")
        mark = error.problem_mark or error.context_mark
        for pattern, message, hint in _PLAINER:
            match = re.fullmatch(pattern, problem)
            if match:
                if problem == "found unexpected end of stream":
                    mark = error.context_mark or mark
                return Diagnostic.at(self._mark(mark), match.expand(message), hint)
        return Diagnostic.at(self._mark(mark), "not YAML: " + problem.replace(r"'\x00'", "the end"))

    def _mark(self, mark: Any) -> Mark:
        return Mark(self._source, mark.line + 1, mark.column + 1) if mark else Mark(self._source, 1, 1)

    def found(self) -> list[Diagnostic]:
        """All that is wrong; of a habit of YAML's that is not read here, the first place and how many more."""
        more = [replace(d[0], message=f"{d[0].message}{_and_more(len(d) - 1)}") for d in self.kinds.values()]
        return [*self._problems, *more]

    def _refuse(self, mark: Mark, message: str, hint: str = "") -> None:
        self._problems.append(Diagnostic.at(mark, message, hint))

    def _refuse_kind(self, kind: str, mark: Mark, message: str, hint: str = "") -> None:
        self.kinds.setdefault(kind, []).append(Diagnostic.at(mark, message, hint))

    def document(self) -> Node:
        """The only document of the text."""
        next(self._events)
        kind, event = next(self._events)
        if kind == "StreamEnd":
            raise _Unreadable(Diagnostic.at(Mark(self._source, 1, 1), "the document is empty"))
        if event.version and tuple(event.version) != (1, 2):
            self._refuse(self._mark(event.start_mark), "YAML 1.2 is read, and no other version", "leave %YAML out")
        node = self._node(*next(self._events), depth=1)
        next(self._events)
        kind, event = next(self._events)
        if kind != "StreamEnd":
            mark = self._mark(event.start_mark)
            raise _Unreadable(Diagnostic.at(mark, "a second document starts here", "put each one in a file of its own"))
        return node

    def _node(self, kind: str, event: Any, *, depth: int) -> Node:
        mark = self._mark(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Unreadable(Diagnostic.at(mark, f"the document has more than {MAX_NODES:,} values"))
        if kind == "Alias":
            self._refuse_kind("alias", mark, f"aliases such as *{event.anchor} are not read", "write the value out")
            return Scalar(mark, None, refused=True)
        if event.anchor is not None:
            hint = "write the value where it is needed"
            self._refuse_kind("anchor", mark, f"anchors such as &{event.anchor} are not read", hint)
        if event.tag is not None:
            hint = "a document holds plain values; quotes make a text"
            self._refuse_kind("tag", mark, "tags such as !name are not read", hint)
        if kind == "Scalar":
            known = len(self._problems)
            value = self._value(event, mark)
            return Scalar(mark, value, refused=event.tag is not None or len(self._problems) > known)
        if depth > MAX_DEPTH:
            raise _Unreadable(Diagnostic.at(mark, f"values are nested more than {MAX_DEPTH} deep"))
        return self._sequence(mark, depth) if kind == "SequenceStart" else self._mapping(mark, depth)

    def _sequence(self, mark: Mark, depth: int) -> Sequence:
        items = []
        for kind, event in self._events:
            if kind == "SequenceEnd":
                break
            items.append(self._node(kind, event, depth=depth + 1))
        return Sequence(mark, tuple(items))

    def _mapping(self, mark: Mark, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        for kind, event in self._events:
            if kind == "MappingEnd":
                break
            key = self._node(kind, event, depth=depth + 1)
            value = self._node(*next(self._events), depth=depth + 1)
            if not isinstance(key, Scalar) or not isinstance(key.value, str):
                hint = "put quotes around it" if isinstance(key, Scalar) else ""
                self._refuse_kind("key", key.mark, "a key is a text", hint)
            elif key.value in entries:
                first = entries[key.value].mark.line
                hint = f"it was given on line {first} already"
                self._refuse_kind("duplicate", key.mark, f"duplicate key {key.value!r}", hint)
            else:
                entries[key.value] = Entry(key.mark, value)
        return Mapping(mark, entries)

    def _value(self, event: Any, mark: Mark) -> str | int | float | bool | None:
        text: str = event.value
        if _SURROGATE.search(text):
            self._refuse(mark, "the text holds half of a character (a surrogate)", r"write \U0001F600 for U+1F600")
            return None
        if event.style or not event.implicit[0]:
            return text
        return self._plain(text, mark)

    def _plain(self, text: str, mark: Mark) -> str | int | float | bool | None:
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _NOT_FINITE.fullmatch(text):
            self._refuse(mark, f"{text} is not a number that can be used", "write a finite number")
            return None
        if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
            number = _integer(text)
            if abs(number) > MAX_INTEGER:
                self._refuse(mark, "the number is too large", "whole numbers go up to 2^63 - 1")
                return None
            return number
        if _FLOAT.fullmatch(text):
            if not math.isfinite(float(text)):
                self._refuse(mark, "the number is too large", "numbers go up to about 1.8e308")
                return None
            return float(text)
        return text


def _and_more(others: int) -> str:
    return f", and {others:,} more like it" if others else ""


def _integer(text: str) -> int:
    if len(text) > 100:  # int() refuses thousands of digits with an error of its own
        return MAX_INTEGER + 1
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
