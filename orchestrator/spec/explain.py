"""Turns pydantic's errors into diagnostics: each at the key or value that people wrote, in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Entries
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.base.text import one_line
from orchestrator.spec.base import Problems
from orchestrator.spec.diagnostics import Diagnostic, did_you_mean, nearest
from orchestrator.spec.nodes import Entry, Mapping, Mark, Node, Scalar, Sequence, at, plain, replaced
from orchestrator.spec.rules import broken, expectation, unexpected
from orchestrator.spec.vocabulary import Path, Vocabulary


@dataclass(frozen=True)
class _Located:
    """An error of pydantic's and the node that it is about.

    Attributes:
        error: as pydantic gives it.
        path: of the node in the document.
        key: where the node's key was written; for the root, where the document starts.
        node: the innermost one that the document has.
        branch: where a union branched and into what; the document knows nothing of it.
        missing: the key that the node lacks.
    """

    error: Entries[str, Any]
    path: Path
    key: Mark
    node: Node
    branch: tuple[Path, str] | None = None
    missing: str | None = None

    @property
    def mark(self) -> Mark:
        """Where the caret goes: at the value, but at the key of a mapping or of nothing."""
        nothing = isinstance(self.node, Scalar) and self.node.value is None
        return self.key if nothing or isinstance(self.node, Mapping) else self.node.mark

    @property
    def mismatch(self) -> bool:
        """Whether the node is of another kind than was expected."""
        return self.missing is None and expectation(self.error) is not None


def explain(error: ValidationError, model: type[BaseModel], root: Node) -> list[Diagnostic]:
    """All errors that pydantic found in a document.

    Args:
        error: of the validation of `plain(root)`.
        model: what the document should be.
        root: the document.
    """
    explainer = _Explainer(model, root)
    return [
        explainer.diagnostic(complaint)
        for complaint in _complaints(error, root)
        if not (isinstance(complaint[0].node, Scalar) and complaint[0].node.refused)
    ]


def respelt(error: ValidationError, model: type[BaseModel], root: Node) -> tuple[Node, list[Diagnostic]]:
    """The document with unknown keys read as the missing ones that they look like, and what is to be said of them.

    So nothing is told that follows from the misspelling alone, and what is wrong below such a key is told as well.

    Args:
        error: of the validation of `plain(root)`.
        model: what the document should be.
        root: the document.
    """
    explainer = _Explainer(model, root)
    told: list[Diagnostic] = []
    for one, *_ in _complaints(error, root):
        meant = explainer.meant(one)
        if meant is not None and (renamed := _renamed(root, one.path, meant, explainer.takes)) is not None:
            root = renamed
            told.append(explainer.diagnostic([one]))
    return root, told


def _renamed(root: Node, path: Path, meant: str, takes: Callable[[Path, Node], bool]) -> Node | None:
    """The document with one key renamed; its value is nobody's concern if it does not fit. None: both are there."""
    *above, key = path
    mapping = at(root, above)
    if not isinstance(mapping, Mapping) or str(key) not in mapping.entries or meant in mapping.entries:
        return None
    old = mapping.entries[str(key)]
    fits = takes((*above, meant), old.value)
    new = old if fits else Entry(old.mark, Scalar(old.value.mark, None, refused=True))
    entries = {meant if name == key else name: new if name == key else e for name, e in mapping.entries.items()}
    return replaced(root, above, Mapping(mapping.mark, entries))


def _each(error: Entries[str, Any]) -> Iterator[Entries[str, Any]]:
    """A rule over several keys may find several problems."""
    cause = error.get("ctx", {}).get("error")
    if not isinstance(cause, Problems):
        yield error
        return
    for problem in cause.problems:
        yield {**error, "ctx": {"error": ValueError(problem)}}


def dotted(path: Path) -> str:
    """A path as people write it: `nodes[0].cpus`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{one_line(part, 80)}" for part in path)
    return text.removeprefix(".")


def _locate(error: Entries[str, Any], root: Node) -> _Located:
    parts = list(error["loc"])
    missing = str(parts.pop()) if error["type"] == "missing" else None
    node: Node = root
    key = root.mark
    path: Path = ()
    branch: tuple[Path, str] | None = None
    for part in parts:
        if isinstance(node, Mapping) and part in node.entries:
            entry = node.entries[part]
            node, key, path = entry.value, entry.mark, (*path, part)
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node, path = node.items[part], (*path, part)
            key = node.mark
        elif part == "[key]":
            node = Scalar(key, str(path[-1]))
        elif branch is None:
            branch = (path, str(part))
    return _Located(error, path, key, node, branch, missing)


def _complaints(error: ValidationError, root: Node) -> list[list[_Located]]:
    """The errors, those that make one complaint together: of a union, only the branch that was meant counts."""
    errors = error.errors(include_url=False, include_input=False)
    located = [_locate(one, root) for found in errors for one in _each(found)]
    unions: dict[Path, dict[str, list[_Located]]] = {}
    for one in located:
        if one.branch is not None:
            unions.setdefault(one.branch[0], {}).setdefault(one.branch[1], []).append(one)
    complaints = [[one] for one in located if one.branch is None]
    for site, branches in unions.items():
        likely = [errors for errors in branches.values() if any(e.path != site or not e.mismatch for e in errors)]
        if likely:
            complaints += [[one] for one in min(likely, key=len)]
        else:
            complaints.append([one for errors in branches.values() for one in errors])
    return complaints


class _Explainer:
    def __init__(self, model: type[BaseModel], root: Node) -> None:
        self._model = model
        self._root = root

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._model)

    def diagnostic(self, complaint: list[_Located]) -> Diagnostic:
        first = complaint[0]
        if first.missing is not None:
            return self._missing(first, first.missing)
        if first.error["type"] == "extra_forbidden":
            return self._unknown(first)
        if all(one.mismatch for one in complaint):
            choices_first = sorted(complaint, key=lambda one: one.error["type"] != "literal_error")
            kinds = [kind for one in choices_first if (kind := expectation(one.error))]
            message, hint = unexpected(kinds, plain(first.node))
            if not hint and len(kinds) > 1 and first.path:
                hint = self._vocabulary.keys(first.path[:-1]).get(str(first.path[-1]), "")
        else:
            message, hint = broken(first.error, plain(first.node))
        found, plainer = _of_a_key(first, message)
        mark = _set_mark(first, message) if not found.mark.source.option else None
        return Diagnostic.at(mark or found.mark, _in_place(found.path, plainer), hint)

    def _missing(self, located: _Located, key: str) -> Diagnostic:
        meaning = self._vocabulary.keys(located.path).get(key, "")
        message = _in_place(located.path, f"the key '{key}' is missing")
        mark = located.key if located.path else self._of_whom(located)
        return Diagnostic.at(mark, message, f"{key}: {meaning}" if meaning else "")

    def _of_whom(self, located: _Located) -> Mark:
        """Who needs what is missing at the top: a recipe, else the document."""
        recipe = located.node.entries.get("recipe") if isinstance(located.node, Mapping) else None
        return located.key if recipe is None else recipe.mark

    def _unknown(self, located: _Located) -> Diagnostic:
        *above, key = located.path
        parent = tuple(above)
        hint = self._of_recipes(located.path) or did_you_mean(key, self._known(located))
        homes = [] if hint.startswith("did") else self._homes(str(key), located.node)
        if homes:
            hint = f"it belongs in {dotted(homes[0])}" if homes[0] else "it belongs at the top of the document"
        place = f" in {dotted(parent)}" if parent else ""
        return Diagnostic.at(located.key, f"unknown key '{one_line(str(key), 80)}'{place}", hint)

    def meant(self, located: _Located) -> str | None:
        """The key that an unknown one looks like; None where it belongs elsewhere."""
        if located.error["type"] != "extra_forbidden" or self._of_recipes(located.path):
            return None
        return nearest(located.path[-1], self._known(located))

    def takes(self, path: Path, node: Node) -> bool:
        """Whether a value may stand at `path`."""
        return self._vocabulary.takes(path, plain(node))

    def _known(self, located: _Located) -> list[str]:
        """The keys that an unknown one may have been; if it is known elsewhere, those that take its value."""
        *above, key = located.path
        known = list(self._vocabulary.keys(tuple(above)))
        if not self._homes(str(key), located.node):
            return known
        return [name for name in known if self.takes((*above, name), located.node)]

    def _of_recipes(self, path: Path) -> str:
        """For a command whose key is a recipe's section, which recipes those are."""
        from orchestrator.spec.workload import RECIPES, CommandWorkload

        if self._model is not CommandWorkload or len(path) != 1:
            return ""
        names = [name for name, model in RECIPES.items() if path[0] in model.model_fields]
        return f"did you mean a recipe? '{path[0]}' belongs to recipes: {', '.join(names)}" if names else ""

    def _homes(self, key: str, value: Node) -> list[Path]:
        """Where the key belongs: where its value's type fits; not at the top where that has it already."""
        at_top = isinstance(self._root, Mapping) and key in self._root.entries
        return [home for home in self._vocabulary.homes(key, plain(value)) if home or not at_top]


def _of_a_key(located: _Located, message: str) -> tuple[_Located, str]:
    """A rule over several keys names the one to look at first: `model: give a preset, or …`, `teams[1].parent: …`."""
    name, colon, rule = message.partition(": ")
    found = located
    for key in re.findall(r"[^.\[\]]+", name) if colon else []:
        inner = _inner(found, key)
        if inner is None:
            break
        found = inner
    if dotted(found.path) != dotted((*located.path, name)):
        return (located if found is located else replace(found, path=located.path)), message
    return found, rule


def _inner(located: _Located, key: str) -> _Located | None:
    """What lies below a key, or at a place of a list; None: nothing."""
    node = located.node
    if isinstance(node, Mapping) and key in node.entries:
        entry = node.entries[key]
        return replace(located, path=(*located.path, key), key=entry.mark, node=entry.value)
    if isinstance(node, Sequence) and key.isdecimal() and int(key) < len(node.items):
        item = node.items[int(key)]
        return replace(located, path=(*located.path, int(key)), key=item.mark, node=item)
    return None


def _set_mark(located: _Located, message: str) -> Mark | None:
    """Where a rule over several keys names one that --set gave, the last such key: the file may well be right.

    `train cuts a batch of 64` names `train.batch_size`, where it has not the key itself.
    """
    if not isinstance(located.node, Mapping):
        return None
    words = set(re.findall(r"[A-Za-z_]\w*", message))
    given = [(path, mark) for path, mark in _given_by_option(located.node) if words.issuperset(path[:-1])]
    named = [mark for path, mark in given if path[-1] in words]
    meant = [mark for path, mark in given if path[:-1] and words.intersection(path[-1].split("_"))]
    return next(reversed(named or meant), None)


def _given_by_option(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mark]]:
    """The values below a node that --set gave: their keys, and their places."""
    if isinstance(node, Mapping) and not node.mark.source.option:
        for key, entry in node.entries.items():
            yield from _given_by_option(entry.value, (*path, key))
    elif node.mark.source.option:
        yield path, node.mark


def _in_place(path: Path, message: str) -> str:
    return f"{dotted(path)}: {message}" if path else message
